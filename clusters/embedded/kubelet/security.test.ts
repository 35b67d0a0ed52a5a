import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod, V1PodSecurityContext, V1SecurityContext } from "@kubernetes/client-node";
import { capabilitiesOf, type Identity, identityOf, primaryGroupIn, setprivArgs, ungranted } from "./security.ts";

const PASSWD = "root:x:0:0::/root:/bin/bash\nwww-data:x:33:34::/:/bin/sh\n\nbroken\n";
const AVAILABLE = capabilitiesOf(0x1fffeffffffn);

function identity(own: V1SecurityContext, shared: V1PodSecurityContext = {}, imageUser = 0): Identity {
  const pod: V1Pod = { spec: { containers: [], securityContext: shared } };
  const container = { name: "c", securityContext: own };
  return identityOf(pod, container, imageUser, (uid) => primaryGroupIn(PASSWD, uid), AVAILABLE);
}

test("the container's setting overrides the pod's, and that overrides the image's", () => {
  const users = ({ uid, gid, groups }: Identity): unknown => [uid, gid, ...groups];
  assert.deepEqual(users(identity({}, {}, 33)), [33, 34]);
  assert.deepEqual(users(identity({}, { runAsUser: 1000, runAsGroup: 1001 }, 33)), [1000, 1001]);
  assert.deepEqual(
    users(identity({ runAsUser: 1337, runAsGroup: 1337 }, { runAsUser: 1, fsGroup: 2, supplementalGroups: [3, 2] })),
    [1337, 1337, 3, 2],
  );
  assert.deepEqual(users(identity({ runAsUser: 4242 })), [4242, 0]);
});

test("runAsNonRoot refuses root, however it comes", () => {
  assert.throws(() => identity({ runAsNonRoot: true }), /image will run as root/);
  assert.throws(() => identity({ runAsUser: 0 }, { runAsNonRoot: true }), /breaks non-root policy/);
  assert.equal(identity({ runAsNonRoot: true, runAsUser: 1 }).uid, 1);
});

test("capabilities are dropped and added as named", () => {
  const of = (drop: string[], add: string[]): readonly string[] =>
    identity({ capabilities: { drop, add } }).capabilities;
  assert.deepEqual(of(["ALL"], []), []);
  assert.deepEqual(of(["ALL"], ["NET_ADMIN", "CAP_NET_RAW"]), ["net_admin", "net_raw"]);
  assert.equal(of([], []).includes("net_bind_service"), true);
  assert.equal(of(["NET_RAW"], []).includes("net_raw"), false);
  assert.equal(of([], ["SYS_ADMIN"]).includes("sys_admin"), true);
  // This machine cannot give what it does not have itself.
  assert.equal(of([], ["ALL"]).includes("sys_resource"), false);
  assert.equal(of([], []).includes("mknod"), false);
});

test("becomes arguments of setpriv, without rlimits or the OOM score", () => {
  assert.deepEqual(
    setprivArgs(
      identity({ runAsUser: 1337, capabilities: { drop: ["ALL"] }, allowPrivilegeEscalation: false }, { fsGroup: 9 }),
    ),
    ["setpriv", "--reuid=1337", "--regid=0", "--groups=9", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"],
  );
  assert.deepEqual(setprivArgs(identity({ capabilities: { drop: ["ALL"], add: ["CHOWN"] } })).slice(3), [
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all,+chown",
  ]);
});

test("requested capabilities that are not granted are named", () => {
  const of = (securityContext: V1SecurityContext): string[] => ungranted({ name: "c", securityContext }, AVAILABLE);
  assert.deepEqual(of({}), []);
  assert.deepEqual(of({ capabilities: { add: ["ALL", "NET_ADMIN"] } }), []);
  assert.deepEqual(of({ capabilities: { add: ["SYS_RESOURCE", "NET_ADMIN"] } }), [
    "this machine cannot grant SYS_RESOURCE",
  ]);
  assert.match(of({ privileged: true }).join(), /privileged grants nothing here/);
});
