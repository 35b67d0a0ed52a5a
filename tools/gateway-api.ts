/**
 * Writes harness/mesh/gateway-api.json, the CRDs of the Gateway API that istiod reads. Run it by hand for another version, with the folder
 * that `go mod download -json sigs.k8s.io/gateway-api` prints: `node cli/node24.mjs tools/gateway-api.ts FOLDER`.
 */

import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { parse } from "yaml";

/** istiod watches each for itself, and starts its Gateway API controller with these. */
const KINDS = ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"];

const [folder = ""] = process.argv.slice(2);
const crds = await Promise.all(
  KINDS.map(async (kind) => {
    const file = path.join(folder, "config/crd/standard", `gateway.networking.k8s.io_${kind}.yaml`);
    return withoutDescriptions(parse(await readFile(file, "utf8")));
  }),
);
const version = /@v?([^/]+)\/?$/.exec(folder)?.[1] ?? "unknown";
const source = `Go module sigs.k8s.io/gateway-api v${version}, config/crd/standard, without descriptions; Apache-2.0, Copyright The Kubernetes Authors`;
// A line for each CRD, so that a diff shows which one changed.
const lines = crds.map((crd) => JSON.stringify(crd)).join(",\n");
await writeFile(
  path.join(import.meta.dirname, "../harness/mesh/gateway-api.json"),
  `{"source":${JSON.stringify(source)},"crds":[\n${lines}\n]}\n`,
);

/** The texts are two thirds of it. A property of an object may be called so too: then it is a schema, and stays. */
function withoutDescriptions(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutDescriptions);
  if (typeof node !== "object" || node === null) return node;
  return Object.fromEntries(
    Object.entries(node)
      .filter(([key, value]) => key !== "description" || typeof value !== "string")
      .map(([key, value]) => [key, withoutDescriptions(value)]),
  );
}
