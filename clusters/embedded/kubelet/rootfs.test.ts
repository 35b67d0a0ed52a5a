import assert from "node:assert/strict";
import { test } from "node:test";
import { quote } from "./shell.ts";
import { type ContainerMount, planRoot, type RootPlan } from "./rootfs.ts";

const PLAN: RootPlan = {
  lower: ["/cache/image", "/cache/debian"],
  dir: "/run/pods/u/containers/c",
  inUserNamespace: false,
  userNamespace: "/run/user-namespace",
  devDir: "/run/dev",
  shmDir: "/run/pods/u/shm",
  mounts: [],
  readOnlyRoot: false,
  workingDir: "/",
  exec: ["setpriv", "--reuid=1", "echo", "it's"],
};
const mount = (target: string, more: Partial<ContainerMount> = {}): ContainerMount => ({
  source: "/run/pods/u/volumes/v",
  target,
  readOnly: false,
  isFile: false,
  ...more,
});
const planWith = (more: Partial<RootPlan>): ReturnType<typeof planRoot> => planRoot({ ...PLAN, ...more }, () => true);
const targetsOf = (fstab: string): string[] =>
  fstab
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[1]!);

test("layers lie over the Debian root, in user.* attributes within a user namespace", () => {
  const overlay =
    /lowerdir=\/cache\/image:\/cache\/debian,upperdir=\/run\/pods\/u\/containers\/c\/upper,workdir=\S+\/work/;
  assert.match(planWith({}).script, overlay);
  assert.doesNotMatch(planWith({}).script, /userxattr/);
  assert.match(planWith({ inUserNamespace: true }).script, /userxattr/);
});

test("outer mounts come before those inside them, files after all directories", () => {
  const plan = planWith({
    mounts: [mount("/a/b/c"), mount("/a/b"), mount("/a/file", { isFile: true }), mount("/a")],
  });
  assert.deepEqual(
    targetsOf(plan.fstab).filter((target) => target.startsWith("/a")),
    ["/a", "/a/b", "/a/b/c"],
  );
  assert.deepEqual(targetsOf(plan.fileFstab), ["/a/file"]);
});

test("sources are reached through the old root, which is gone before the program starts", () => {
  const { script, fstab } = planWith({ mounts: [mount("/v", { readOnly: true, locked: ["nosuid"] })] });
  assert.match(fstab, /^\/\.old\/run\/pods\/u\/volumes\/v \/v none rbind,ro,nosuid,X-mount\.mkdir 0 0$/m);
  assert.ok(script.indexOf("umount -l /.old") > script.indexOf("mount -a"));
  assert.ok(script.indexOf("exec setpriv") > script.indexOf("umount -l /.old"));
  // A shell remembers where it has found the node's programs, and the image may have them elsewhere.
  assert.match(script, /pivot_root \. \.old\ncd \/\nhash -r\n/);
});

test("the machine's settings in /proc and /sys are read-only or hidden before the pods' user namespace is entered", () => {
  const { script, baseFstab, fstab } = planWith({ mounts: [mount("/v")] });
  const merged = "/run/pods/u/containers/c/merged";
  assert.match(baseFstab, new RegExp(`^${merged}/proc/sys ${merged}/proc/sys none bind,ro`, "m"));
  assert.match(baseFstab, new RegExp(`^/run/dev/null ${merged}/proc/kcore none bind`, "m"));
  assert.match(baseFstab, new RegExp(`^sysfs ${merged}/sys sysfs ro,`, "m"));
  assert.doesNotMatch(planRoot(PLAN, () => false).baseFstab, /kcore/);
  const [outside = "", inside = ""] = script.split("exec nsenter --user=/run/user-namespace unshare --mount");
  assert.match(outside, /fstab\.base/);
  assert.doesNotMatch(outside, /fstab$|pivot_root/m);
  // A volume may bring programs of the pod's own.
  assert.match(fstab, / \/v none /);
  assert.match(inside, /mount -a -T \S*\/fstab\n/);
});

test("odd names stay one word in fstab, in mount options and in the shell", () => {
  const { script, fstab } = planWith({ mounts: [mount("/my dir/#1\t")], lower: ["/a:b,c"] });
  assert.match(fstab, / \/my\\040dir\/\\0431\\011 none /);
  assert.ok(script.includes("lowerdir=/a\\:b\\,c,"));
  assert.ok(script.endsWith(quote("exec setpriv --reuid=1 echo 'it'\\''s'").slice(1)));
});

test("a read-only root is made so last", () => {
  const { script } = planWith({ readOnlyRoot: true });
  assert.ok(script.indexOf("remount,bind,ro,nodev /") > script.indexOf("rmdir"));
  assert.doesNotMatch(planWith({}).script, /remount/);
});
