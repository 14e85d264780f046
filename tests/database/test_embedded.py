"""The embedded PostgreSQL, started, killed and started again for real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tongbao.database import embedded_places
from tongbao.database.embedded import CannotStart, EmbeddedPostgres
from tongbao.database.embedded_processes import server_processes

Make = Callable[..., EmbeddedPostgres]

# A program that owns a server until it is killed.
OWNER = """
import sys, time
from pathlib import Path
from tongbao.database.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), Path(sys.argv[2]))
print(server.start(), flush=True)
time.sleep(600)
"""
only_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("TONGBAO_CI") != "1", reason="must be root to run it as root"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tongbao-embedded-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make(bin_dir: Path, folder: Path) -> Iterator[Make]:
    made: list[EmbeddedPostgres] = []

    def make_one(data_dir: Path | None = None) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(data_dir or folder / "data", bin_dir))
        return made[-1]

    yield make_one
    for server in made:
        server.stop()


async def query(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def remember(url: str) -> None:
    await query(url, "CREATE TABLE kept (n int PRIMARY KEY)")
    await query(url, "INSERT INTO kept SELECT generate_series(1, 1000)")


async def remembered(url: str) -> bool:
    return await query(url, "SELECT count(*) FROM kept") == 1000


def kill_all(server: EmbeddedPostgres) -> None:
    for process in server_processes(cluster(server)):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended by itself, its postmaster being dead
            process.kill()


def lives(process: psutil.Process) -> bool:
    """Zombies do not live: they only wait for process 1 to take notice."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def cluster(server: EmbeddedPostgres) -> Path:
    return server.data_dir / "cluster"


async def test_the_first_start_takes_seconds_and_later_ones_less(make: Make) -> None:
    server = make()
    began = time.monotonic()
    url = server.start()
    assert time.monotonic() - began < 15  # about one second on a machine with nothing else to do
    await remember(url)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5
    assert not server.is_running()
    assert server.pid is None

    began = time.monotonic()
    assert server.start() == url
    assert time.monotonic() - began < 5
    assert await remembered(url)


async def test_the_server_is_durable_and_reachable_by_its_socket_alone(make: Make) -> None:
    server = make()
    url = server.start()
    for name, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "jit": "off",
    }.items():
        assert await query(url, f"SHOW {name}") == value, name
    assert await query(url, "SELECT upper('é') || lower('Ä')") == "Éä"
    assert server.pid is not None
    assert psutil.Process(server.pid).net_connections("inet") == []


async def test_only_the_owner_may_enter_the_folders(make: Make) -> None:
    server = make()
    url = server.start()
    socket_dir = Path(url.partition("host=")[2].partition("&")[0])
    for path in (server.data_dir, cluster(server), socket_dir):
        assert path.stat().st_mode & 0o077 == 0, path
    server.stop()
    assert not socket_dir.exists()


async def test_the_server_inherits_no_secret_from_its_owner(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_not_for_postgres")
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    server = make()
    server.start()
    for process in server_processes(cluster(server)):
        assert "sk_live_not_for_postgres" not in process.environ().values()
        assert "PGOPTIONS" not in process.environ()


async def test_a_failed_statement_leaves_nothing_personal_in_the_log(make: Make) -> None:
    server = make()
    url = server.start()
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await query(url, "SELECT 'somebody@example.com'::int")
    server.stop()
    assert "somebody@example.com" not in (server.data_dir / "postgres.log").read_text()


async def test_a_killed_postmaster_is_started_again_with_its_data_under_the_same_url(make: Make) -> None:
    server = make()
    url = server.start()
    await remember(url)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    began = time.monotonic()
    assert server.start() == url
    assert time.monotonic() - began < 8
    assert await remembered(url)


async def test_children_that_outlive_their_postmaster_are_ended_before_a_new_start(make: Make) -> None:
    server = make()
    url = server.start()
    await remember(url)
    connection = await asyncpg.connect(url)
    busy = asyncio.create_task(connection.execute("SELECT count(*) FROM generate_series(1, 1000000000000) AS n"))
    await asyncio.sleep(0.3)
    old = server_processes(cluster(server))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.sleep(0.3)
    assert any(lives(process) for process in old), "the busy child goes on"

    url = await asyncio.to_thread(server.start)
    assert not any(lives(process) for process in old)
    assert await remembered(url)
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await busy


async def test_every_process_killed_at_once_loses_nothing(make: Make) -> None:
    server = make()
    url = server.start()
    await remember(url)
    kill_all(server)
    assert server.start() == url
    assert await remembered(url)


async def test_a_stale_process_number_that_now_is_somebody_elses_does_no_harm(make: Make) -> None:
    server = make()
    await remember(server.start())
    assert server.pid is not None
    pid_file = cluster(server) / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    kill_all(server)
    server.stop()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        # As after a reboot: the number in the file belongs to another program, here even of the same account.
        pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        assert await remembered(server.start())
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_two_servers_in_two_folders_do_not_disturb_each_other(make: Make, folder: Path) -> None:
    one, two = make(folder / "one"), make(folder / "two")
    url_one, url_two = await asyncio.gather(asyncio.to_thread(one.start), asyncio.to_thread(two.start))
    assert url_one != url_two
    await remember(url_one)
    assert one.pid is not None
    os.kill(one.pid, signal.SIGKILL)
    one.start()
    assert await query(url_two, "SELECT count(*) FROM pg_class WHERE relname = 'kept'") == 0
    one.stop()
    assert await query(url_two, "SELECT 1") == 1


def test_a_second_owner_is_told_who_the_first_is(make: Make) -> None:
    first, second = make(), make()
    first.start()
    with pytest.raises(CannotStart, match=rf"in use by process {os.getpid()}\. Remedy: stop that process"):
        second.start()
    second.stop()
    assert first.is_running()


async def test_a_folder_deeper_than_a_sockets_path_may_be_long(make: Make, folder: Path) -> None:
    deep = folder.joinpath(*["a folder whose name is long, with spaces and 汉字"] * 6, "data")
    server = make(deep)
    assert len(os.fsencode(deep)) > 250
    assert await query(server.start(), "SELECT 1") == 1


def test_a_server_ends_when_its_owner_is_killed_and_the_next_owner_finds_the_data(
    make: Make, folder: Path, bin_dir: Path
) -> None:
    owner = start_owner(folder / "data", bin_dir)
    server = make()
    assert server_processes(cluster(server)) != []
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 10
    while server_processes(cluster(server)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server_processes(cluster(server)) == []
    server.start()


async def test_a_server_that_outlived_its_owner_and_its_watcher_is_replaced(
    make: Make, folder: Path, bin_dir: Path
) -> None:
    owner = start_owner(folder / "data", bin_dir)
    family = psutil.Process(owner.pid).children()
    watchers = [process for process in family if process.name() == "sh"]
    survivors = [process for process in family if process.name() == "postgres"]
    for process in [*watchers, psutil.Process(owner.pid)]:
        process.kill()
    owner.wait()
    assert [lives(process) for process in survivors] == [True]
    url = make().start()
    assert not lives(survivors[0])
    assert await query(url, "SELECT 1") == 1


def test_a_first_start_killed_half_way_does_not_spoil_the_next(make: Make, folder: Path, bin_dir: Path) -> None:
    owner = start_owner(folder / "data", bin_dir, wait=False)
    deadline = time.monotonic() + 20
    while not list(folder.glob("data/cluster.new-*/PG_VERSION")) and time.monotonic() < deadline:
        time.sleep(0.001)
    owner.kill()
    owner.wait()
    assert not (folder / "data" / "cluster").exists()
    make().start()
    assert list(folder.glob("data/cluster.new-*")) == []


def test_data_of_another_version_are_refused_with_a_remedy(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    (cluster(server) / "PG_VERSION").write_text("9\n")
    with pytest.raises(CannotStart, match=r"made by PostgreSQL 9; .*Remedy: choose another data folder"):
        server.start()


def test_a_folder_that_cannot_be_made_is_refused_with_a_remedy(make: Make, folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(CannotStart, match=r"cannot be used: .*Remedy: choose a folder"):
        make(folder / "file" / "data").start()


def test_a_server_that_does_not_come_up_says_why(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    with (cluster(server) / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(CannotStart, match="no_such_setting"):
        server.start()
    assert not server.is_running()


@only_root
async def test_root_can_run_it_below_a_folder_that_only_root_may_enter(make: Make, folder: Path) -> None:
    assert os.geteuid() == 0, "continuous integration runs as root"
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = make(closed / "data")
    url = server.start()
    await remember(url)
    assert server.pid is not None
    assert psutil.Process(server.pid).uids().real != 0
    os.kill(server.pid, signal.SIGKILL)
    assert await remembered(server.start())


@only_root
async def test_root_can_run_it_from_programs_that_only_root_may_reach(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert os.geteuid() == 0, "continuous integration runs as root"
    site = folder / "closed" / "site-packages"
    installed = embedded_places.bin_dir().parent
    shutil.copytree(installed, site / embedded_places.PACKAGE / installed.name)
    shutil.copytree(installed.parent.with_suffix(".libs"), site / f"{embedded_places.PACKAGE}.libs")
    (folder / "closed").chmod(0o700)
    programs = site / embedded_places.PACKAGE / installed.name / "bin"
    cache = Path(tempfile.mkdtemp(prefix="tongbao-cache-"))
    cache.chmod(0o755)
    monkeypatch.setattr(embedded_places, "CACHE", cache)
    monkeypatch.setattr(embedded_places, "bin_dir", lambda: programs)
    server = EmbeddedPostgres(folder / "closed" / "data", programs)
    try:
        assert str(await query(server.start(), "SHOW server_version")).startswith("18")
        assert server.pid is not None
        assert cache in Path(psutil.Process(server.pid).exe()).parents
    finally:
        server.stop()
        shutil.rmtree(cache)


def start_owner(data_dir: Path, bin_dir: Path, wait: bool = True) -> subprocess.Popen[bytes]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, data_dir, bin_dir], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    if wait:
        assert owner.stdout.readline().startswith(b"postgresql://")
    return owner
