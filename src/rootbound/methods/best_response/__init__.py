"""BestResponse, this project's own method, in four files.

`method.py` has the settings, the loss and the training; `terms.py` what an undesirable batch
adds to the loss; `schedule.py` when it does, and the last steps; `price.py` finds a weight for
what the defence may cost.
"""

from rootbound.methods.best_response.method import BestResponse
from rootbound.methods.best_response.schedule import Schedule
from rootbound.methods.best_response.terms import Terms

__all__ = ["BestResponse", "Schedule", "Terms"]
