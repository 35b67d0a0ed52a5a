import assert from "node:assert/strict";
import { chmodSync, chownSync, lchownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { findOwnFolder, isOwn, makeOwnFolder, ownTempFolder, placeOfUser, readOwnFile, whyForeign } from "./own.ts";

describe("a folder of our own", () => {
  const hint = "set X to a folder of your own";
  const code = "ERR_FOREIGN_FILE";
  /** A uid that no user has. */
  const SOMEBODY = 12345;

  let top: string;
  beforeEach(() => {
    top = mkdtempSync(join(tmpdir(), "own-"));
  });
  afterEach(() => rmSync(top, { recursive: true, force: true }));

  const make = (name: string, mode = 0o755): string => {
    const path = join(top, name);
    mkdirSync(path);
    chmodSync(path, mode);
    return path;
  };

  test("a missing folder is undefined, and is created as a secret one on request", () => {
    const path = join(top, "a/b");
    assert.equal(findOwnFolder(path, { hint }), undefined);
    assert.equal(makeOwnFolder(path, { secret: true, hint }), path);
    assert.equal(findOwnFolder(path, { secret: true, hint }), path);
  });

  test("a folder that others may write to is refused, and a secret one that they may read", () => {
    const open = make("open", 0o777);
    assert.throws(() => findOwnFolder(open, { hint }), { code, message: /open to others: its mode is 0777/ });
    const readable = make("readable", 0o755);
    assert.equal(findOwnFolder(readable, { hint }), readable);
    assert.throws(() => findOwnFolder(readable, { secret: true, hint }), {
      code,
      hint: /chmod go-rwx .*readable, or set X/,
    });
  });

  test("a folder is refused if others may write to its parent, unless the parent is sticky", () => {
    const parent = make("parent", 0o777);
    mkdirSync(join(parent, "child"), { mode: 0o700 });
    assert.throws(() => findOwnFolder(join(parent, "child"), { secret: true, hint }), { code, message: /not sticky/ });
    chmodSync(parent, 0o1777);
    assert.equal(findOwnFolder(join(parent, "child"), { secret: true, hint }), join(parent, "child"));
  });

  test("the user's own link is followed, but not to a secret folder", () => {
    const real = make("real", 0o700);
    symlinkSync("real", join(top, "link"));
    assert.equal(findOwnFolder(join(top, "link"), { hint }), real);
    assert.throws(() => findOwnFolder(join(top, "link"), { secret: true, hint }), { code, message: /is a link/ });
    symlinkSync("loop", join(top, "loop"));
    assert.throws(() => findOwnFolder(join(top, "loop"), { hint }), { code, message: /from link to link/ });
  });

  test("a file is read, but not a link, a pipe or a file that others may write to", () => {
    const folder = findOwnFolder(make("folder", 0o700), { hint });
    assert.ok(folder);
    assert.equal(readOwnFile(folder, "none", { hint }), undefined);
    writeFileSync(join(folder, "good"), "text", { mode: 0o600 });
    assert.equal(readOwnFile(folder, "good", { hint }), "text");
    symlinkSync("good", join(folder, "link"));
    assert.throws(() => readOwnFile(folder, "link", { hint }), { code, message: /is a link/ });
    mkdirSync(join(folder, "sub"));
    assert.throws(() => readOwnFile(folder, "sub", { hint }), { code, message: /is not a file/ });
    chmodSync(join(folder, "good"), 0o666);
    assert.throws(() => readOwnFile(folder, "good", { hint }), { code, message: /open to others/ });
  });

  test("the temporary folder must exist, and no other user may remove files in it", () => {
    assert.throws(() => ownTempFolder(join(top, "none")), { code, message: /does not exist/ });
    const shared = make("shared", 0o777);
    assert.throws(() => ownTempFolder(shared), { code, message: /not sticky/ });
    chmodSync(shared, 0o1777);
    assert.equal(ownTempFolder(shared), shared);
  });

  test("a relative path in an XDG variable is ignored", () => {
    assert.equal(placeOfUser("XDG_STATE_HOME", ".local/state", { HOME: "/h", XDG_STATE_HOME: "x" }), "/h/.local/state");
    assert.equal(placeOfUser("XDG_STATE_HOME", ".local/state", { HOME: "/h", XDG_STATE_HOME: "/x" }), "/x");
  });

  const skip = process.getuid?.() === 0 ? false : "only root can create files of another user";
  describe("of another user", { skip }, () => {
    const plant = (name: string, mode = 0o700): string => {
      const path = make(name, mode);
      chownSync(path, SOMEBODY, SOMEBODY);
      return path;
    };

    test("a folder is refused, with its owner and a hint", () => {
      const path = plant("planted");
      for (const secret of [false, true])
        for (const open of [findOwnFolder, makeOwnFolder])
          assert.throws(() => open(path, { secret, hint }), {
            code,
            message: `${path} belongs to uid 12345, not to root; nothing in it was read or run`,
            hint: `find out who created it (ls -ld ${path}) and remove it, or ${hint}`,
          });
    });

    test("a parent folder is refused, sticky or not", () => {
      const parent = plant("parent", 0o1777);
      mkdirSync(join(parent, "child"), { mode: 0o700 });
      assert.throws(() => findOwnFolder(join(parent, "child"), { hint }), {
        code,
        message: /parent belongs to uid 12345/,
      });
      assert.throws(() => makeOwnFolder(join(parent, "new/er"), { hint }), {
        code,
        message: /parent belongs to uid 12345/,
      });
    });

    test("a link is refused, also a dangling one", () => {
      const real = make("real", 0o700);
      for (const [name, target] of [
        ["link", real],
        ["dangling", join(top, "nothing")],
      ] as const) {
        symlinkSync(target, join(top, name));
        lchownSync(join(top, name), SOMEBODY, SOMEBODY);
        for (const secret of [false, true])
          for (const open of [findOwnFolder, makeOwnFolder])
            assert.throws(() => open(join(top, name), { secret, hint }), { code, message: /link that uid 12345 made/ });
        assert.throws(() => findOwnFolder(join(top, name, "below"), { hint }), { code });
      }
    });

    test("a file in the user's own folder is refused", () => {
      const folder = findOwnFolder(make("folder", 0o700), { hint });
      assert.ok(folder);
      writeFileSync(join(folder, "file"), "planted", { mode: 0o600 });
      chownSync(join(folder, "file"), SOMEBODY, SOMEBODY);
      assert.throws(() => readOwnFile(folder, "file", { hint }), { code, message: /file belongs to uid 12345/ });
      assert.equal(isOwn(join(folder, "file")), false);
      assert.equal(isOwn(folder), true);
    });

    test("a file that a group with other users may write to cannot be trusted", () => {
      const mode = 0o100_664;
      assert.equal(whyForeign({ uid: 0, gid: 0, mode: 0o100_644 }), undefined);
      assert.match(whyForeign({ uid: 0, gid: SOMEBODY, mode }) ?? "", /may be written by others \(mode 0664\)/);
      assert.match(whyForeign({ uid: SOMEBODY, gid: 0, mode: 0o100_644 }) ?? "", /belongs to uid 12345/);
    });
  });
});
