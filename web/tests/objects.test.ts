import assert from "node:assert/strict";
import { test } from "node:test";

import * as change from "../src/objects.ts";
import type { Candidate } from "../src/types.ts";
import { drawn } from "./masks.ts";

const candidate = (token: string, ...rows: string[]): Candidate => ({ ...drawn(...rows), token });
const point = (x: number, y: number) => ({ x, y, adds: true });

test("a point takes the mask that the object has back to the model, a box does not", () => {
  const first = change.withAnswer(change.withPoint(change.NO_OBJECTS, point(0, 0)), [candidate("a", "#.")]);
  assert.equal(change.withPoint(first, point(1, 0)).draft.token, "a");
  assert.equal(change.withBox(first, [0, 0, 2, 1]).draft.token, null);
});

test("of three candidates the chosen one is kept", () => {
  const asked = change.withPoint(change.NO_OBJECTS, point(0, 0));
  const answered = change.withAnswer(asked, [candidate("a", "#."), candidate("a", "##")]);
  const { kept, draft } = change.keepDraft(change.withChoice(answered, 1));
  assert.deepEqual([kept.length, kept[0].mask.area, kept[0].name], [1, 2, "Object 1"]);
  assert.ok(change.isEmpty(draft));
});

test("editing replaces the object and leaves its name", () => {
  let objects = change.addKept(change.NO_OBJECTS, [drawn("#..")]);
  objects = change.changeKept(objects, 1, { name: "cat" });
  objects = change.withPoint(change.editKept(objects, 1), point(1, 0));
  assert.deepEqual(objects.draft.prompts, { points: [point(1, 0)], box: [0, 0, 1, 1] });
  const { kept } = change.keepDraft(change.withAnswer(objects, [candidate("b", "##.")]));
  assert.deepEqual([kept.length, kept[0].name, kept[0].mask.area], [1, "cat", 2]);
});

test("the smallest visible object at a pixel is the one that is meant", () => {
  let objects = change.addKept(change.NO_OBJECTS, [drawn("###"), drawn("##."), drawn("#..")]);
  assert.equal(change.keptAt(objects, 0, 0)?.id, 3);
  objects = change.changeKept(objects, 3, { isVisible: false });
  assert.equal(change.keptAt(objects, 0, 0)?.id, 2);
  assert.equal(change.keptAt(objects, 2, 0)?.id, 1);
});

test("what is kept already is not found again", () => {
  const objects = change.addKept(change.NO_OBJECTS, [drawn("####.")]);
  assert.equal(change.withoutKnown(objects, [drawn("#####"), drawn("##...")]).length, 2);
  assert.equal(change.withoutKnown(objects, [drawn("####.")]).length, 0);
});

test("undo and redo are inverse; a change forgets what was undone", () => {
  const history = new change.History();
  const states = [1, 2, 3].map((count) => change.addKept(change.NO_OBJECTS, Array(count).fill(drawn("#"))));
  history.change(states[0]);
  history.change(states[1]);
  assert.ok(history.undo() && history.now === states[0]);
  assert.ok(history.redo() && history.now === states[1] && !history.canRedo);
  history.undo();
  history.change(states[2]);
  assert.ok(!history.canRedo && history.undo() && history.now === states[0]);
});

test("masks for the screen are not whole; those of the photo's pixels leave the choice as it was", () => {
  const image = { height: 2, width: 4 };
  const asked = change.withPoint(change.NO_OBJECTS, point(0, 0));
  assert.ok(!change.isWhole(asked.draft, image));
  const small = change.withChoice(change.withAnswer(asked, [candidate("a", "#."), candidate("b", "##")]), 1);
  assert.ok(!change.isWhole(small.draft, image));
  const whole = change.withAnswer(small, [candidate("c", "##..", "#..."), candidate("d", "####", "####")]);
  assert.ok(change.isWhole(whole.draft, image));
  assert.equal(change.draftMask(whole.draft)?.area, 8);
});
