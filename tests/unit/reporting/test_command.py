"""The command: what is wrong with a setting is said in a line, before anything is opened."""

from pathlib import Path

import pytest

from services.reporting.__main__ import main

SETTINGS = {
    "HADIR_REGENCY": "5202",
    "HADIR_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/hadir",
    "HADIR_NATS_URL": "nats://127.0.0.1:1",
    "HADIR_AUTH_TARGET": "127.0.0.1:1",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("command", ["serve", "rebuild", "migrate"])
def test_missing_settings_are_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    assert "HADIR_" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "rebuild"])
def test_a_policy_that_cannot_be_used_is_named(
    settings: pytest.MonkeyPatch, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"version": 1}')
    settings.setenv("HADIR_POLICY_FILE", str(policy))
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("HADIR_POLICY_FILE: ")
    assert "valid_from" in told


@pytest.mark.parametrize("command", ["serve", "rebuild"])
def test_a_zone_that_is_not_the_policy_s_is_one_line(
    settings: pytest.MonkeyPatch, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("HADIR_ZONE", "Asia/Jayapura")
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.endswith("version 1 is for zone Asia/Makassar, but HADIR_ZONE is Asia/Jayapura\n")


def test_a_rebuild_needs_its_peers(settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rebuild"])
    assert ended.value.code == 2
    assert "HADIR_CHECKIN_TARGET" in capsys.readouterr().err
