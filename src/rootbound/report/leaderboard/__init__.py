"""The leaderboard: every method of a run on one page that anyone can challenge."""

from rootbound.report.leaderboard.claims import Challenge, read_challenges
from rootbound.report.leaderboard.write import write_leaderboard

__all__ = ["Challenge", "read_challenges", "write_leaderboard"]
