"""BestResponse, this project's own method.

`method.py` has the settings, the loss and the training. `terms.py` has the terms that an
undesirable batch adds to the loss. `schedule.py` says when they count, and trains the last steps.
`price.py` finds a weight for a given loss of desirable accuracy. `teacher.py` has the teacher.
"""

from rootbound.methods.best_response.method import BestResponse
from rootbound.methods.best_response.schedule import Schedule
from rootbound.methods.best_response.terms import Terms

__all__ = ["BestResponse", "Schedule", "Terms"]
