import assert from "node:assert/strict";
import { test } from "node:test";

import { plural } from "../src/plural.js";

test("one stays alone", () => assert.equal(plural(1, "egg"), "1 egg"));
test("many get an s", () => assert.equal(plural(2, "egg"), "2 eggs"));
