"""History over REST."""

from server.served import Served


async def test_history_is_served_from_a_position_on_page_by_page(served: Served) -> None:
    await served.append(5)

    first = await served.get("/events?limit=3")
    second = await served.get(f"/events?limit=100&cursor={first['next']}")

    assert [event["position"] for event in first["items"] + second["items"]] == list(range(7))
    assert second["next"] is None
