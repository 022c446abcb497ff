"""Texts that the contract allows and the database cannot hold. Owner: auth."""

from chassis.errors import FieldProblem, InvalidFieldsError


def check_texts(**texts: str) -> None:
    """Refuse a text with a NUL: PostgreSQL stores none, and no keyboard makes one.

    Args:
        texts: by the path of their field.

    Raises:
        InvalidFieldsError: names the fields.
    """
    problems = [
        FieldProblem(path, "STRING_NUL", "tidak boleh memuat karakter NUL", "must not hold a NUL character")
        for path, text in texts.items()
        if "\0" in text
    ]
    if problems:
        raise InvalidFieldsError(problems)
