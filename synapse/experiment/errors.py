"""What can be wrong with a study."""

from synapse.policies import PolicyError


class StudyError(PolicyError):
    """A study that makes no sense: which argument, and what would.

    Parameters
    ----------
    path
        The argument or axis.
    problem
        What is wrong.
    """
