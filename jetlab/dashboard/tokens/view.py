"""The view of tokens, put together when it is opened for the first time."""

from __future__ import annotations

from typing import Any

from jetlab.dashboard.tokens.cards import AnswerCard, CodesCard, SpreadCard, TokenizerChoice, TokenStatus, UsageCard
from jetlab.dashboard.tokens.session import TokenSession
from jetlab.dashboard.tokens.studycard import StudyCard
from jetlab.dashboard.views import NoticeView

__all__ = ["PLACES", "TokenStatus", "TokensView"]

PLACES = ("token_rail", "token_notice", "answer", "spread", "codes", "study", "usage", "study_table")
"""Names of the places on the page that the view fills."""


class TokensView:
    """Cards of the view.

    Attributes
    ----------
    answer, spread, codes, study, usage : card
    """

    def __init__(self, session: TokenSession) -> None:
        self._rail, self._notices = TokenizerChoice(session), NoticeView(session)
        self.answer, self.spread, self.codes = AnswerCard(session), SpreadCard(session), CodesCard(session)
        self.study, self.usage = StudyCard(session.settings), UsageCard(session)

    def panels(self) -> dict[str, Any]:
        """What to put into each of the `PLACES`."""
        cards = (self._rail, self._notices, self.answer, self.spread, self.codes, self.study, self.usage)
        return dict(zip(PLACES, (*(card.panel for card in cards), self.study.table_panel), strict=True))
