import assert from "node:assert/strict";
import { test } from "node:test";

import { LatestOnly } from "../src/latest.ts";

test("one task runs, and of those that come meanwhile only the newest", async () => {
  const latest = new LatestOnly();
  const ran: number[] = [];
  let finish = () => {};
  latest.run(() => new Promise((resolve) => ((finish = resolve), ran.push(0))));
  for (const number of [1, 2, 3]) latest.run(async () => void ran.push(number));
  assert.deepEqual(ran, [0]);
  finish();
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(ran, [0, 3]);
});
