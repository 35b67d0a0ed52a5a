import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serveApi } from "../mesh/api-server.fixture.ts";
import type { Proxy } from "./places.ts";
import { untilSentThrough } from "./waypoints.ts";

const POD = { namespace: "foo", labels: {}, serviceAccount: "default" };
const GATEWAY: Proxy = { ...POD, pod: "gateway-1", ip: "10.0.0.1", kind: "gateway" };
const SERVES = [{ kind: "Service", namespace: "foo", name: "guarded" }];
const WAYPOINT: Proxy = { ...POD, pod: "own-1", ip: "10.0.0.9", kind: "waypoint", serves: SERVES };

const OTHER = "10.0.0.7:15008";
const OWN = "10.0.0.9:15008";

/** What Envoy has for a Service whose requests go through a waypoint, or without an endpoint. */
const clusters = (endpoints: readonly string[], health = "HEALTHY"): string =>
  JSON.stringify({
    cluster_statuses: [
      {
        name: "outbound|8000||guarded.foo.svc.cluster.local",
        ...(endpoints.length > 0 && {
          host_statuses: endpoints.map((endpoint_id) => ({
            address: { envoy_internal_address: { endpoint_id } },
            health_status: { eds_health_status: health },
          })),
        }),
      },
    ],
  });

describe("before a step that must pass a waypoint is judged", () => {
  it("its gateway has the waypoint's pod as a healthy endpoint", async (t) => {
    const answers = [clusters([]), clusters([OTHER]), clusters([OTHER, OWN], "UNHEALTHY"), clusters([OTHER, OWN])];
    const asked: string[] = [];
    const kube = await serveApi(t, {
      exec: (command) => {
        asked.push(decodeURIComponent(command.at(-1) ?? ""));
        return { stdout: answers[Math.min(asked.length, answers.length) - 1] ?? "" };
      },
    });
    await untilSentThrough(kube, [GATEWAY], [WAYPOINT]);
    assert.deepEqual(asked, Array(4).fill("clusters?format=json&filter=\\|(guarded.foo)\\."));
  });

  it("a gateway that does not use it is awaited until the limit, and then judged", async (t) => {
    const kube = await serveApi(t, { exec: () => ({ stdout: clusters([OTHER]) }) });
    await untilSentThrough(kube, [GATEWAY], [WAYPOINT], 120);
  });

  it("a waypoint without a Service, and a way without a gateway, need no wait", async (t) => {
    const kube = await serveApi(t, { exec: () => assert.fail("nothing is asked") });
    await untilSentThrough(kube, [GATEWAY], [{ ...WAYPOINT, serves: [] }]);
    await untilSentThrough(kube, [{ ...GATEWAY, kind: "sidecar" }], [WAYPOINT]);
  });
});
