"""What every Cluster does: the one in memory, and in drills/test_contract.py a real one."""

from tests.delivery.contract.line import Line
from tests.delivery.contract.pods import Pods
from tests.delivery.contract.reading import Reading
from tests.delivery.contract.writing import Writing


class Contract(Reading, Writing, Pods, Line):
    """To be run by a class with a fixture `place`."""
