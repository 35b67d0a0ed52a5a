import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serveApi } from "../mesh/api-server.fixture.ts";
import { untilReachable } from "./endpoints.ts";

const GATEWAY = { namespace: "istio-system", pod: "gateway-1" };
const SHOP = { namespace: "foo", name: "shop", selector: { app: "shop" } };

const clusters = (...addresses: readonly string[]): string =>
  JSON.stringify({
    cluster_statuses: [
      {
        name: "outbound|80||shop.foo.svc.cluster.local",
        host_statuses: addresses.map((address) => ({ address: { socket_address: { address, port_value: 8080 } } })),
      },
    ],
  });

const pod = (podIP: string, more: object = {}): object => ({
  metadata: { name: `shop-${podIP}`, namespace: "foo", ...more },
  status: { podIP, conditions: [{ type: "Ready", status: "True" }] },
});

/** An API server with one ready pod and one that is on its way out. */
const pods = { items: [pod("10.0.0.2"), pod("10.0.0.1", { deletionTimestamp: "2026-01-01T00:00:00Z" })] };

describe("before a mesh is asked what it answers", () => {
  it("its proxies have the ready pods of the Services, and none that is gone", async (t) => {
    const answers = [clusters("10.0.0.1"), clusters("10.0.0.1", "10.0.0.2"), clusters(), clusters("10.0.0.2")];
    const asked: string[] = [];
    const kube = await serveApi(t, {
      http: (_, response) => response.setHeader("content-type", "application/json").end(JSON.stringify(pods)),
      exec: (command) => {
        asked.push(decodeURIComponent(command.at(-1) ?? ""));
        return { stdout: answers[Math.min(asked.length, answers.length) - 1] ?? "" };
      },
    });
    await untilReachable(kube, [GATEWAY], [SHOP]);
    assert.deepEqual(asked, Array(4).fill("clusters?format=json&filter=\\|\\|(shop.foo)\\."));
  });

  it("a proxy that does not have the Service need not, and one that keeps other pods is asked at the limit", async (t) => {
    let stdout = JSON.stringify({});
    const kube = await serveApi(t, {
      http: (_, response) => response.setHeader("content-type", "application/json").end(JSON.stringify(pods)),
      exec: () => ({ stdout }),
    });
    await untilReachable(kube, [GATEWAY], [SHOP]);
    stdout = clusters("10.0.0.1");
    await untilReachable(kube, [GATEWAY], [SHOP], 120);
  });
});
