"""The resistance card: what is known of published weights, for machines and for people."""

from rootbound.card.card import SCHEMA, resistance_card
from rootbound.card.markdown import to_markdown

__all__ = ["SCHEMA", "resistance_card", "to_markdown"]
