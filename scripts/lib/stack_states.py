"""What can be done with a stack in each of its states (CloudFormation user guide, "Stack status codes"; "Stack failure
options"; CloudFormation API reference, ContinueUpdateRollback and RollbackStack)."""

import dataclasses
import enum


class Next(enum.Enum):
    """How a deployment goes on."""

    CREATE = "it is made"
    CHANGE = "the change is made"
    WAIT = "what goes on is waited for"
    ANEW = "what is left is removed, and it is made again"
    # Only where the operator says so (--repair).
    REMOVE = "the same, with --repair"
    CONTINUE = "its rollback is continued, and it is changed, with --repair"
    ROLL_BACK = "it is rolled back, and changed, with --repair"
    STOP = "nothing can be done by a deployment"


@dataclasses.dataclass(frozen=True)
class State:
    next: Next
    # What it means.
    means: str
    # What somebody must do first, where a deployment without --repair ends; {suffix}, {params} and {stack} are its own.
    advice: str = ""


REPAIR = "scripts/operate/deploy --suffix {suffix} --params {params} --repair"
NEVER = State(Next.REMOVE, "it never came to be, and what its first deployment left could not be removed",
              f"Nothing is lost with it. Remove it and make it again: {REPAIR}")
RUNS = State(Next.WAIT, "something goes on with it")
SERVES = State(Next.CHANGE, "it serves")
STATES = {
    "REVIEW_IN_PROGRESS": State(Next.CREATE, "a change set was made and not executed; it has no resources"),
    "CREATE_IN_PROGRESS": RUNS,
    "CREATE_COMPLETE": SERVES,
    "CREATE_FAILED": NEVER,
    "ROLLBACK_IN_PROGRESS": RUNS,
    "ROLLBACK_COMPLETE": State(Next.ANEW, "it never came to be"),
    "ROLLBACK_FAILED": NEVER,
    "UPDATE_IN_PROGRESS": RUNS,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": RUNS,
    "UPDATE_COMPLETE": SERVES,
    "UPDATE_FAILED": State(
        Next.ROLL_BACK, "a change failed, and somebody had switched the rollback off",
        f"Roll it back to what it was, and deploy again: {REPAIR}"),
    "UPDATE_ROLLBACK_IN_PROGRESS": RUNS,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": RUNS,
    "UPDATE_ROLLBACK_COMPLETE": State(Next.CHANGE, "a change failed and was taken back; it serves as before"),
    "UPDATE_ROLLBACK_FAILED": State(
        Next.CONTINUE, "a change failed, and so did going back",
        "Mend what the events name (a right, a quota, something that was deleted by hand), then continue the rollback and "
        f"deploy again: {REPAIR}. What cannot be mended, leave as it is: --skip NAME,NAME"),
    "DELETE_IN_PROGRESS": RUNS,
    "DELETE_FAILED": State(
        Next.STOP, "somebody was removing it, and some of it refused",
        "CloudFormation takes no change of it any more. Remove the rest: scripts/operate/destroy --suffix {suffix} --yes. "
        "What is to be kept: aws cloudformation delete-stack --stack-name {stack} --retain-resources NAME NAME "
        "(docs/runbook.md, A deployment failed)"),
    # Not of a stack that is asked for by its name.
    "DELETE_COMPLETE": State(Next.CREATE, "it is gone"),
    "IMPORT_IN_PROGRESS": RUNS,
    "IMPORT_COMPLETE": SERVES,
    "IMPORT_ROLLBACK_IN_PROGRESS": RUNS,
    "IMPORT_ROLLBACK_COMPLETE": SERVES,
    "IMPORT_ROLLBACK_FAILED": State(
        Next.STOP, "an import failed, and so did going back",
        "Nothing in CloudFormation continues that. Ask AWS support, or give the stack up and keep its resources "
        "(docs/runbook.md, A deployment failed)"),
}


def state_of(status: str) -> State:
    """A state that is not known is not touched."""
    return STATES.get(status, State(Next.STOP, "this program does not know that state", "See CloudFormation's user guide"))
