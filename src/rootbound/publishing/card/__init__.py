"""The resistance card: what is known of published weights, for machines and for people."""

from rootbound.publishing.card.card import SCHEMA, resistance_card
from rootbound.publishing.card.markdown import to_markdown

__all__ = ["SCHEMA", "resistance_card", "to_markdown"]
