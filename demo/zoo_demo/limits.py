"""The limits of the demo, for one visitor and for all together.

Each limit is checked before the work starts.
"""

MAX_PIXELS = 40_000_000  # of a picture, as of a full-frame camera; decoding takes 7 bytes per pixel
MODEL_BYTES = 3 * 2**30  # of memory for the process of a model, without its weights
MAX_UPLOAD_BYTES = 64_000_000
MAX_DRAWING_CHARACTERS = 2**18
MAX_POINTS = 20_000  # of a drawing; so many take half a second
MAX_CALL_BYTES = 500_000  # of a request without a file
MAX_STORED_BYTES = 512 * 2**20  # of all uploads together
KEEP_SECONDS = 600  # of an upload: for the preview in the browser, and for other models
SPARED_SECONDS = 60  # younger uploads are not removed to make room

PICTURE_SECONDS = 30.0  # for decoding one picture and one answer to it
BODY_SECONDS = 120.0  # for a request to arrive
GRACE_SECONDS = 10.0  # before a slow request counts as too slow
BODY_RATE = 6_400  # bytes per second at least, after that
SILENT_SECONDS = 20.0  # for a connection without a request

MAX_WAITING = 200  # pictures that wait for the model
MAX_WAIT_SECONDS = 60.0  # for all waiting pictures together; a picture that waited longer gets no answer
MAX_ANSWERS = 500  # that wait for their visitors
ANSWER_SECONDS = 60.0  # for a visitor to fetch an answer
MAX_OF_SESSION = 32  # waiting pictures and answers of one visitor
MAX_UPLOADING = 64
MAX_STREAMS = 256  # connections that wait for answers
MAX_CONNECTIONS = 512
MAX_SESSIONS = 1000  # whose state Gradio keeps
