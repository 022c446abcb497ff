"""Why a run cannot take place, in words for who started it: Bahasa Indonesia first, English second. Owner: herd."""


class HerdError(Exception):
    """A run that could not start or finish.

    Attributes:
        message_id: what is wrong and what to do, Bahasa Indonesia.
        message_en: the same in English.
    """

    def __init__(self, message_id: str, message_en: str) -> None:
        super().__init__(message_en)
        self.message_id = message_id
        self.message_en = message_en
