"""A train worker as it is, but for its program, which is a played one."""

from workers.app import app  # noqa: F401 - what celery looks for
from workers.children import CHILDREN, TrainChild
from workers.contract import Queue


class PlayedChild(TrainChild):
    program = "tests.workers.played_training"
    judge = "tests.workers.played_judge"


CHILDREN[Queue.TRAIN] = PlayedChild
