"""From spools to history: everything once, whatever is killed on the way."""

from capture.recorded import History, Place, states


async def test_a_run_becomes_history(repository: Place, history: History) -> None:
    id = repository.wrap("sh", "-c", "echo one; echo two >&2; echo 'x = 1' > new.py; exit 3")

    assert states(await history.take(repository)) == ["recorded"]
    for f in await history.facts(id):
        print(f)
    for k in await history.items(id):
        print(k, (await history.content(id, k))[:3000])
    assert repository.ids() == []
