from .claims import Challenge, read_challenges
from .write import write_leaderboard

__all__ = ["Challenge", "read_challenges", "write_leaderboard"]
