"""Of a run that has ended a person chooses one variation."""

import httpx2

from tests.git_repositories import GitRepositories
from tests.service.api import (
    start_run,
    until,
    until_printed,
    view,
)

Client = httpx2.AsyncClient


async def test_a_person_chooses_a_variation_and_zero_is_one(client: Client, git: GitRepositories):
    command = "[ $VARIATION_ID = 2 ] && kill -9 $PPID; echo x > x"
    run_url = await start_run(client, git.make("repo"), command, variations=3)
    assert (await until(client, run_url))["selected"] is None
    for chosen, index in [(1, 1), ("0", 0), (0, 0), ("1", 1)]:
        response = await client.post(f"{run_url}/select", json={"variation_id": chosen})
        assert (response.status_code, response.json()["selected"]) == (200, index)
        assert (await view(client, run_url))["selected"] == index
    response = await client.post(f"{run_url}/select", json={"variation_id": 2})
    assert (response.status_code, response.json()["code"]) == (409, "variation.no_patch")
    for unknown in (3, -1, 10**30, "999999"):
        response = await client.post(f"{run_url}/select", json={"variation_id": unknown})
        assert (response.status_code, response.json()["code"]) == (404, "variation.not_found")
    for wrong in ("one", "-1", 1.5, True, None, "", "٣"):
        response = await client.post(f"{run_url}/select", json={"variation_id": wrong})
        assert (response.status_code, response.json()["field"]) == (422, "variation_id"), wrong
    assert (await view(client, run_url))["selected"] == 1


async def test_nothing_can_be_chosen_before_the_end(client: Client, git: GitRepositories):
    run_url = await start_run(client, git.make("repo"), "echo here; sleep 1000")
    await until_printed(client, run_url, "here")
    response = await client.post(f"{run_url}/select", json={"variation_id": 0})
    assert (response.status_code, response.json()["code"]) == (409, "run.not_ended")
    patch = await client.get(f"{run_url}/variations/0/patch")
    assert (patch.status_code, patch.json()["code"]) == (404, "patch.none")
