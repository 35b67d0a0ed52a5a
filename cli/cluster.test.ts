import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceOf } from "./cluster.ts";
import { flagsOf } from "./image-flags.ts";
import { commandOf } from "./command-line.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const OTHER = `sha256:${"1".repeat(64)}`;
const running = {
  versions: { kubernetes: "v1.36.3", istio: "1.29.2", envoy: "1.37.3-dev" },
  digests: { istio: "sha256:2", "docker.io/istio/pilot:1.29.2": DIGEST },
};

test("a running cluster is used if it has the requested versions and images", () => {
  for (const asked of [{}, { istio: "1.29.2" }, { imageDigest: { "istio/pilot:1.29.2": DIGEST } }])
    assert.equal(differenceOf(running, asked), undefined);
  assert.equal(
    differenceOf(running, { istio: "1.29.2", envoy: "1.38" }),
    "Istio 1.29.2 and Envoy 1.37.3-dev, not 1.29.2 and 1.38.3",
  );
  assert.match(differenceOf(running, { istio: "1.29.3" }) ?? "", /^Istio 1\.29\.2 and .*, not 1\.29\.3 and/);
  const pinned = { "docker.io/istio/pilot:1.29.2": OTHER };
  assert.equal(
    differenceOf(running, { imageDigest: pinned }),
    `${DIGEST} of docker.io/istio/pilot:1.29.2, not ${OTHER}`,
  );
  assert.equal(
    differenceOf({ ...running, digests: {} }, { imageDigest: pinned }),
    `nothing of docker.io/istio/pilot:1.29.2, not ${OTHER}`,
  );
});

test("the flags about images are repeated", () => {
  const again = (flags: Parameters<typeof flagsOf>[0]): string => commandOf("up", [], flagsOf(flags));
  assert.equal(again({}), "meshproof up");
  assert.equal(
    again({ imageMirror: "m.example/hub", imageDigest: { "istio/pilot:1": DIGEST, b: OTHER } }),
    `meshproof up --image-mirror m.example/hub --image-digest 'istio/pilot:1@${DIGEST}' --image-digest 'b@${OTHER}'`,
  );
});
