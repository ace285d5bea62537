"""The limits of the demo's page, for one visitor and for all together. `zoo_serve.limits` has those of all requests.

Each limit is checked before the work starts.
"""

from zoo_serve.limits import (
    MAX_PIXELS,
    MAX_STORED_BYTES,
    MAX_UPLOAD_BYTES,
    MAX_WAITING,
    PICTURE_SECONDS,
    SILENT_SECONDS,
)

__all__ = [
    "ANSWER_SECONDS",
    "BATCH_SECONDS",
    "GUESS_SECONDS",
    "KEEP_SECONDS",
    "MAX_ANSWERS",
    "MAX_BATCHES",
    "MAX_BATCH_PICTURES",
    "MAX_CALL_BYTES",
    "MAX_COMPARED",
    "MAX_DRAWING_CHARACTERS",
    "MAX_GUESSERS",
    "MAX_MODELS",
    "MAX_OF_SESSION",
    "MAX_PIXELS",
    "MAX_POINTS",
    "MAX_SESSIONS",
    "MAX_STORED_BYTES",
    "MAX_STREAMS",
    "MAX_UNPACKED_BYTES",
    "MAX_UPLOADING",
    "MAX_UPLOAD_BYTES",
    "MAX_WAITING",
    "MAX_WAIT_SECONDS",
    "MAX_WRONG_GUESSES",
    "MAX_ZIPS",
    "MAX_ZIP_LIST_BYTES",
    "MAX_ZIP_RATIO",
    "MODEL_BYTES",
    "PICTURE_SECONDS",
    "SILENT_SECONDS",
    "SPARED_SECONDS",
    "WRONG_SECONDS",
]

MAX_MODELS = 16  # of folders: each has a process
MODEL_BYTES = 3 * 2**30  # of memory for the process of a model, without its weights
MAX_DRAWING_CHARACTERS = 2**18
MAX_POINTS = 20_000  # of a drawing; so many take half a second
MAX_CALL_BYTES = 500_000  # of a request without a file
KEEP_SECONDS = 600  # of an upload: for the preview in the browser, and for other models
SPARED_SECONDS = 60  # younger uploads are not removed to make room

MAX_WAIT_SECONDS = 60.0  # for all waiting pictures together; a picture that waited longer gets no answer
MAX_ANSWERS = 500  # that wait for their visitors
ANSWER_SECONDS = 60.0  # for a visitor to fetch an answer
MAX_OF_SESSION = 32  # waiting pictures and answers of one visitor
MAX_UPLOADING = 64
MAX_STREAMS = 256  # connections that wait for answers
MAX_SESSIONS = 1000  # whose state Gradio keeps

WRONG_SECONDS = 1.0  # until a wrong password is answered
MAX_WRONG_GUESSES = 10  # of one address, in `GUESS_SECONDS`; then no password is checked
GUESS_SECONDS = 60.0
MAX_GUESSERS = 10_000  # addresses whose wrong passwords are counted
MAX_BATCH_PICTURES = 1000  # of one batch, and of one form
MAX_BATCHES = 4  # at once; others wait
BATCH_SECONDS = 540.0  # for one batch: its uploads are kept a little longer
MAX_ZIPS = 20  # of one batch: all are open until it ends
MAX_ZIP_LIST_BYTES = 2**20  # of the list of members: Python makes an object of each before it can be counted
MAX_UNPACKED_BYTES = 512 * 10**6  # of all pictures of a zip together, each of `MAX_UPLOAD_BYTES` at most
MAX_ZIP_RATIO = 200  # bytes of a member for each byte in the zip, beyond its first megabyte
MAX_COMPARED = 4  # models
