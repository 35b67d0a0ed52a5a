import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serveApi } from "../mesh/api-server.fixture.ts";
import type { Kube } from "../mesh/client.ts";
import type { Proxy } from "./places.ts";
import { servedBy, untilNoneIsGone, untilSentThrough } from "./waypoints.ts";

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

/** What reads a namespace with two Services, of which one uses the waypoint `own`, and these pods of it. */
const namespace = (
  pods: readonly (readonly [ip: string, ready: boolean])[],
  uses = "own",
): Pick<Kube, "core" | "objects"> => {
  const services = [
    { metadata: { name: "guarded", labels: { "istio.io/use-waypoint": uses } } },
    {
      metadata: {
        name: "elsewhere",
        labels: { "istio.io/use-waypoint": uses, "istio.io/use-waypoint-namespace": "bar" },
      },
    },
    { metadata: { name: "plain" } },
  ];
  const items = pods.map(([podIP, ready], index) => ({
    metadata: { name: `own-${index}`, labels: {} },
    status: { podIP, conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
  }));
  return {
    core: {
      readNamespace: () => Promise.resolve({ metadata: { name: "foo" } }),
      listNamespacedPod: ({ labelSelector }: { readonly labelSelector: string }) =>
        labelSelector === "gateway.networking.k8s.io/gateway-name in (own)"
          ? Promise.resolve({ items })
          : assert.fail(labelSelector),
    },
    objects: { list: (_: string, kind: string) => Promise.resolve({ items: kind === "Service" ? services : [] }) },
  } as unknown as Pick<Kube, "core" | "objects">;
};

it("a Service uses a waypoint by its own label, and `none` is not one", async () => {
  assert.deepEqual(await servedBy(namespace([]), "foo", "own"), SERVES);
  assert.deepEqual(await servedBy(namespace([]), "foo", "other"), []);
  assert.deepEqual(await servedBy(namespace([], "none"), "foo", "none"), []);
});

describe("before a request to a gateway is judged", () => {
  it("the gateway has no endpoint of a waypoint's pod that is gone or not ready", async (t) => {
    const answers = [clusters([OTHER, OWN]), clusters([OTHER]), clusters([OWN])];
    let asked = 0;
    const api = await serveApi(t, { exec: () => ({ stdout: answers[asked++] ?? "" }) });
    const pods = [
      ["10.0.0.9", true],
      ["10.0.0.7", false],
    ] as const;
    await untilNoneIsGone({ ...api, ...namespace(pods) }, [GATEWAY], "foo");
    assert.equal(asked, 3);
  });

  it("no endpoint is enough where the waypoint has no pod", async (t) => {
    const answers = [clusters([OWN]), clusters([])];
    let asked = 0;
    const api = await serveApi(t, { exec: () => ({ stdout: answers[asked++] ?? "" }) });
    await untilNoneIsGone({ ...api, ...namespace([]) }, [GATEWAY], "foo");
    assert.equal(asked, 2);
  });

  it("nothing is asked of a sidecar, nor where nothing uses a waypoint", async (t) => {
    const api = await serveApi(t, { exec: () => assert.fail("nothing is asked") });
    await untilNoneIsGone({ ...api, ...namespace([]) }, [{ ...GATEWAY, kind: "sidecar" }], "foo");
    await untilNoneIsGone({ ...api, ...namespace([], "none") }, [GATEWAY], "foo");
  });
});
