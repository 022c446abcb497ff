"""The printable list of a school's activation codes. Owner: ops/roster.

A slip shows a name and the last digits of the NIP only: enrolling needs the whole NIP, which its owner knows, so that a
slip found on the floor enrols nobody.
"""

import html
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo

from hadir.auth.v1 import roster_service_pb2, roster_service_pb2_grpc
from ops.roster.service import Endpoint, connected

DEADLINE_SECONDS = 30.0
_SHOWN_DIGITS = 4
_MONTHS = (
    "Januari", "Februari", "Maret", "April", "Mei", "Juni",
    "Juli", "Agustus", "September", "Oktober", "November", "Desember",
)  # fmt: skip
_STYLE = """
@page { size: A4; margin: 12mm }
body { font: 11pt/1.35 sans-serif; margin: 0; color: #000; background: #fff }
h1 { font-size: 14pt; margin: 0 0 1mm } header p { margin: 0 0 3mm }
main { display: grid; grid-template-columns: 1fr 1fr }
section { border: 1px dashed #777; padding: 4mm; break-inside: avoid }
section p { margin: 0 } .name { font-weight: bold } .small { font-size: 8.5pt }
.code { font: bold 15pt/1.6 monospace; letter-spacing: .06em; white-space: nowrap }
"""


async def issue_codes(endpoint: Endpoint, npsn: str) -> roster_service_pb2.IssueActivationCodesResponse:
    """New codes for everyone of a school without a device; their unused older codes are void from now on.

    Not idempotent: each call makes new codes.

    Raises:
        ServiceRefusedError: not reached, not allowed, or an unknown school.
    """
    async with connected(endpoint) as channel:
        return await roster_service_pb2_grpc.RosterServiceStub(channel).IssueActivationCodes(
            roster_service_pb2.IssueActivationCodesRequest(npsn=npsn),
            metadata=endpoint.metadata,
            timeout=DEADLINE_SECONDS,
        )


def code_sheet(codes: roster_service_pb2.IssueActivationCodesResponse, zone: ZoneInfo) -> str:
    """The codes as an HTML page to print and cut: one slip per person, without anything loaded from elsewhere."""
    school = codes.school
    place = ", ".join(part for part in (school.name, f"NPSN {school.npsn}", school.district) if part)
    slips = "\n".join(_slip(code, place, zone) for code in codes.codes)
    return f"""<!doctype html>
<html lang="id"><head><meta charset="utf-8"><meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Kode aktivasi {html.escape(school.npsn)}</title><style>{_STYLE}</style></head><body>
<header><h1>Kode aktivasi Hadir: {html.escape(place)}</h1>
<p class="small">Rahasia. Gunting, lalu serahkan langsung kepada orangnya; musnahkan sisanya. {len(codes.codes)} orang.
<span lang="en">Confidential: cut, hand each slip to its person, destroy the rest.</span></p></header>
<main>
{slips}
</main></body></html>
"""


def _slip(code: roster_service_pb2.ActivationCode, place: str, zone: ZoneInfo) -> str:
    expires = code.expires_at.ToDatetime(tzinfo=zone)
    until = f"{expires.day} {_MONTHS[expires.month - 1]} {expires.year} pukul {expires:%H.%M}"
    hidden = f"…{code.nip[-_SHOWN_DIGITS:]}"
    return f"""<section><p class="name">{html.escape(code.name)}</p>
<p class="small">NIP {html.escape(hidden)} · {html.escape(place)}</p>
<p class="code">{html.escape(code.code)}</p>
<p class="small">Buka aplikasi Hadir, isi NIP dan kode ini. Sekali pakai, berlaku sampai {until}.
<span lang="en">Enter your NIP and this code in the Hadir app; single use.</span></p></section>"""


@contextmanager
def private_file(path: Path) -> Iterator[TextIO]:
    """A file for its owner's eyes only, which takes the path's name once it is whole.

    It is opened before the codes are asked for: codes are shown once, so a path that cannot be written must fail first.

    Raises:
        OSError: the directory cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
