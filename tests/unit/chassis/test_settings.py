from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from chassis.settings import ServiceSettings, check_address, load_settings


class Settings(ServiceSettings):
    receipt_key: SecretStr = Field(description="the key receipts are signed with")
    batch: int = Field(default=500, ge=1, description="rows in one transaction")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("HADIR_REGENCY", "5202")
    monkeypatch.setenv("HADIR_DATABASE_URL", "postgresql+asyncpg://u:secret@h/d")
    monkeypatch.setenv("HADIR_NATS_URL", "nats://h:4222")
    monkeypatch.setenv("HADIR_RECEIPT_KEY", "k")
    return monkeypatch


def test_a_setting_comes_from_its_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HADIR_GRPC_LISTEN", "127.0.0.1:50051, [::1]:0 ,unix:/run/hadir/auth.sock")
    environment.setenv("HADIR_EDGE_LISTEN", "unix:/run/hadir/edge.sock")
    environment.setenv("HADIR_OF_SOMEBODY_ELSE", "ignored")
    settings = load_settings(Settings)
    assert settings.grpc_listen == ("127.0.0.1:50051", "[::1]:0", "unix:/run/hadir/auth.sock")
    assert settings.environment == "production"
    assert settings.zone_info().key == "Asia/Makassar"
    assert "secret" not in repr(settings)


def test_settings_do_not_change(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings(Settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.regency = "5203"  # type: ignore[misc]


def test_a_secret_comes_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    environment.delenv("HADIR_RECEIPT_KEY")
    environment.setenv("HADIR_RECEIPT_KEY_FILE", str(file))
    environment.setenv("HADIR_NATS_PASSWORD_FILE", str(file))
    settings = load_settings(Settings)
    assert settings.receipt_key.get_secret_value() == "from the file"
    assert settings.nats_password is not None
    assert settings.nats_password.get_secret_value() == "from the file"


def _complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as exit_:
        load_settings(Settings)
    assert exit_.value.code == 2
    return capsys.readouterr().err.splitlines()


WRONG = {
    "HADIR_REGENCY": ("52.02", "string should match"),
    "HADIR_ZONE": ("Asia/Praya", "no IANA time zone"),
    "HADIR_GRPC_LISTEN": ("50051", "expected host:port or unix:"),
    "HADIR_METRICS_LISTEN": ("unix:/run/x", "expected host:port"),
    "HADIR_EDGE_LISTEN": ("0.0.0.0:1", "private listener is a socket"),
    "HADIR_NATS_URL": ("nats://a:1, b:2", "expected nats://host:port"),
    "HADIR_GRACE_SECONDS": ("-1", "greater than or equal to 0"),
    "HADIR_DATABASE_POOL_SIZE": ("1000", "less than or equal to 50"),
    "HADIR_LOG_LEVEL": ("LOUD", "input should be 'DEBUG'"),
    "HADIR_BATCH": ("many", "valid integer"),
}


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_setting_is_one_line_that_names_it(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    value, expected = WRONG[variable]
    environment.setenv(variable, value)
    (line,) = _complaints(capsys)
    assert line.startswith(f"{variable}: ")
    assert expected in line


def test_without_nats_nothing_starts(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("HADIR_NATS_URL", "nats://a:1, tls://u:p@b:2")
    assert load_settings(Settings).nats_url == "nats://a:1,tls://u:p@b:2"
    environment.delenv("HADIR_NATS_URL")
    (line,) = _complaints(capsys)
    assert line.startswith("HADIR_NATS_URL: field required")


def test_each_wrong_setting_has_its_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv("HADIR_RECEIPT_KEY")
    environment.delenv("HADIR_REGENCY")
    environment.setenv("HADIR_BATCH", "0")
    lines = _complaints(capsys)
    assert [line.partition(":")[0] for line in lines] == [
        "HADIR_REGENCY",
        "HADIR_RECEIPT_KEY or HADIR_RECEIPT_KEY_FILE",
        "HADIR_BATCH",
    ]
    assert "the key receipts are signed with" in lines[1]


def test_a_secret_is_not_repeated(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("HADIR_DATABASE_POOL_SIZE", "hunter2")
    assert "hunter2" not in "".join(_complaints(capsys))


def test_a_secret_file_that_is_missing_or_huge_is_named(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment.delenv("HADIR_RECEIPT_KEY")
    environment.setenv("HADIR_RECEIPT_KEY_FILE", str(tmp_path / "absent"))
    (line,) = _complaints(capsys)
    assert line.startswith("HADIR_RECEIPT_KEY_FILE: ")
    huge = tmp_path / "huge"
    huge.write_bytes(b"x" * 70_000)
    environment.setenv("HADIR_RECEIPT_KEY_FILE", str(huge))
    (line,) = _complaints(capsys)
    assert "larger than" in line


def test_the_edges_listener_is_nobody_elses(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("HADIR_GRPC_LISTEN", "unix:/run/a.sock,unix:/run/edge.sock")
    environment.setenv("HADIR_EDGE_LISTEN", "unix:/run/edge.sock")
    (line,) = _complaints(capsys)
    assert "forge the time of arrival" in line


def test_a_moved_clock_is_refused_in_production(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment.setenv("HADIR_CLOCK_OFFSET_FILE", str(tmp_path / "offset"))
    (line,) = _complaints(capsys)
    assert "HADIR_CLOCK_OFFSET_FILE" in line
    environment.setenv("HADIR_ENVIRONMENT", "development")
    assert load_settings(Settings).clock().offset().total_seconds() == 0


@pytest.mark.parametrize(
    "address", ["", "host", "host:", ":1", "host:65536", "unix:relative", "unix:/" + "x" * 120]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"expected|socket"):
        check_address(address)
