"""What every engine promises, as one suite: a class derives from it in each ring, and supplies a fixture `engine`."""

from tests.contract.ends import EndsContract
from tests.contract.leftovers import LeftoversContract
from tests.contract.output import OutputContract
from tests.contract.patches import PatchesContract
from tests.contract.surroundings import SurroundingsContract
from tests.contract.workspaces import WorkspacesContract


class EngineContract(
    OutputContract, EndsContract, LeftoversContract, SurroundingsContract, WorkspacesContract, PatchesContract
):
    """All of it."""
