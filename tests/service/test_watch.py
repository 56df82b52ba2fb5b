"""Looks at a broker that does not answer."""

import asyncio
from pathlib import Path

from service.problems import Problem
from service.watch import Watch
from workers.files import Files


class Silent:
    """A broker's client that waits in vain."""

    asked = 0

    async def health(self) -> None:
        self.asked += 1
        await asyncio.sleep(0.05)
        raise TimeoutError


def test_all_who_wait_for_a_look_in_vain_learn_so_from_the_same_one(tmp_path: Path) -> None:
    async def story() -> list[object]:
        watch = Watch(silent, Files(tmp_path))  # type: ignore[arg-type]
        looks = [watch.look(fresh_s) for fresh_s in (0.5, 0.02, 0, 0.02, 0)]
        return await asyncio.gather(*looks, return_exceptions=True)

    silent = Silent()
    told = asyncio.run(story())
    assert silent.asked == 1
    assert all(isinstance(one, Problem) and one.status == 503 for one in told)
