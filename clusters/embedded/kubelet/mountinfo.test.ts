import assert from "node:assert/strict";
import { test } from "node:test";
import { lockedOptions, parseMountInfo } from "./mountinfo.ts";

const MOUNTS = parseMountInfo(
  [
    "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
    "30 22 0:25 / /home rw,nosuid,nodev,relatime shared:1 - ext4 /dev/vdb rw",
    "31 22 0:26 / /mnt/my\\040disk ro,noexec - ext4 /dev/vdc rw",
    "",
  ].join("\n"),
);

test("the mount nearest above a path decides which options are locked", () => {
  assert.deepEqual(lockedOptions(MOUNTS, "/home/me/.cache/node"), ["nosuid", "nodev"]);
  assert.deepEqual(lockedOptions(MOUNTS, "/mnt/my disk/file"), ["noexec"]);
  assert.deepEqual(lockedOptions(MOUNTS, "/homework"), []);
});
