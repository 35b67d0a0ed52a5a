import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readRequest } from "./curl-line.ts";
import { deciding, ticket } from "./fixtures.ts";
import { translate } from "./translate.ts";
import type { Translation } from "./ticket.ts";

const service = (name: string, port: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: prod }
spec: { selector: { app: ${name} }, ports: [{ port: 6379${port} }] }
---
`;

const asked = (yaml: string, request: string): Translation =>
  translate(ticket(yaml, { request: readRequest(request, []), from: "prod/client" }));

const kinds = ({ differences }: Translation): string[] => differences.map(({ kind }) => kind);

describe("plain TCP", () => {
  it("goes to a port that the mesh takes for TCP; one without a protocol gets it", () => {
    for (const port of ["", ", name: tcp-redis", ", appProtocol: redis"]) {
      const made = asked(service("redis", port), "tcp://redis.prod:6379");
      assert.deepEqual([deciding(made), kinds(made).includes("plain-tcp")], [[], true]);
    }
    assert.match([...asked(service("redis", ""), "tcp://redis.prod:6379").files.values()].join(), /appProtocol: tcp/);
  });

  it("is not reproduced where the mesh reads HTTP, or through a gateway", () => {
    assert.deepEqual(deciding(asked(service("redis", ", name: http"), "tcp://redis.prod:6379")), [
      "part-left-out unknown",
    ]);
  });
});

describe("where a request goes", () => {
  it("takes the only host that routes name for a request through a gateway without one", () => {
    const route = (hosts: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop, namespace: prod }
spec: { hosts: [${hosts}], gateways: [gw], http: [{ route: [{ destination: { host: shop } }] }] }
`;
    const through = (hosts: string): Translation =>
      translate(ticket(route(hosts), { request: readRequest("GET /orders", []) }));
    assert.equal(through("shop.example").topology.host, "shop.example");
    assert.deepEqual(deciding(through("shop.example")), []);
    assert.deepEqual(deciding(through("a.example, b.example")), ["host-open unknown"]);
    assert.deepEqual([through('"*"').topology.host, deciding(through('"*"'))], [undefined, []]);
  });

  it("is judged where a VirtualService for sidecars sends it", () => {
    const route = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api, namespace: prod }
spec: { hosts: [api], http: [{ route: [{ destination: { host: other } }] }] }
---
`;
    const { topology } = asked(route + service("api", "") + service("other", ""), "GET http://api.prod:6379/");
    assert.deepEqual(
      topology.routed.map(({ name }) => name),
      ["other"],
    );
    assert.ok(topology.workloads.some(({ labels }) => labels["app"] === "other"));
  });
});
