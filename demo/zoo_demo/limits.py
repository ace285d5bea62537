"""What the demo gives to one visitor, and to all of them together.

Each is looked at before the work that it bounds begins.
"""

MAX_PIXELS = 40_000_000  # of a picture: a full-frame camera's; decoding takes 7 bytes for each
MODEL_BYTES = 3 * 2**30  # of memory that the process of a model may take, beside its weights
MAX_UPLOAD_BYTES = 64_000_000
MAX_DRAWING_CHARACTERS = 2**18
MAX_POINTS = 20_000  # of a drawing, which take half a second
MAX_CALL_BYTES = 500_000  # of a request without a file
MAX_STORED_BYTES = 512 * 2**20  # of all uploads together
KEEP_SECONDS = 600  # the browser may show its preview of an upload, and ask another model about it, for this long
SPARED_SECONDS = 60  # an upload this young does not make room for others

PICTURE_SECONDS = 30.0  # for decoding one picture and one answer to it
BODY_SECONDS = 120.0  # for a request to arrive
BODY_RATE = 6_400  # bytes a second at least, counted from the first ten seconds on
SILENT_SECONDS = 20.0  # for a connection without a request

MAX_WAITING = 200  # pictures that wait for the model
MAX_WAIT_SECONDS = 60.0  # which must not take longer than this together; one that did is not answered any more
MAX_ANSWERS = 500  # that wait for their visitors, who get them within this time
ANSWER_SECONDS = 60.0
MAX_OF_SESSION = 32  # of both, of one visitor
MAX_UPLOADING = 64
MAX_STREAMS = 256  # of answers, of the connections
MAX_CONNECTIONS = 512
MAX_SESSIONS = 1000  # whose state Gradio keeps
