import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod, V1PodSpec } from "@kubernetes/client-node";
import { hostNames, hostsFile, resolvConf } from "./dns.ts";

const DNS = { server: "10.96.0.10", domain: "cluster.local" };
const NODE_FILE = "# node\nnameserver 192.0.2.1\nsearch example.com\noptions edns0 timeout:2\n";

function podWith(spec: Partial<V1PodSpec> = {}): V1Pod {
  return { metadata: { name: "web-0", namespace: "foo" }, spec: { containers: [], ...spec } };
}

test("ClusterFirst names the cluster's DNS and the pod's search domains", () => {
  assert.equal(
    resolvConf(podWith(), DNS, NODE_FILE),
    "nameserver 10.96.0.10\nsearch foo.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
  );
});

test("Default, and ClusterFirst on the node's network, take the node's file", () => {
  const expected = "nameserver 192.0.2.1\nsearch example.com\noptions edns0 timeout:2\n";
  assert.equal(resolvConf(podWith({ dnsPolicy: "Default" }), DNS, NODE_FILE), expected);
  assert.equal(resolvConf(podWith({ hostNetwork: true }), DNS, NODE_FILE), expected);
  assert.match(
    resolvConf(podWith({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }), DNS, NODE_FILE),
    /10\.96\.0\.10/,
  );
});

test("dnsConfig adds to a policy and is all there is with None", () => {
  const dnsConfig = {
    nameservers: ["198.51.100.1"],
    searches: ["my.org"],
    options: [{ name: "ndots", value: "2" }, { name: "rotate" }],
  };
  assert.equal(
    resolvConf(podWith({ dnsPolicy: "None", dnsConfig }), DNS, NODE_FILE),
    "nameserver 198.51.100.1\nsearch my.org\noptions ndots:2 rotate\n",
  );
  assert.equal(
    resolvConf(podWith({ dnsConfig }), DNS, NODE_FILE),
    "nameserver 10.96.0.10\nnameserver 198.51.100.1\nsearch foo.svc.cluster.local svc.cluster.local cluster.local my.org\noptions ndots:2 rotate\n",
  );
});

test("host names: the pod's, its own, at most 63 characters, with subdomain", () => {
  assert.deepEqual(hostNames(podWith(), "cluster.local"), { hostname: "web-0", fqdn: undefined });
  const named = podWith({ hostname: "db", subdomain: "data" });
  assert.deepEqual(hostNames(named, "cluster.local"), { hostname: "db", fqdn: "db.data.foo.svc.cluster.local" });
  const long = { metadata: { name: `${"a".repeat(62)}-x`, namespace: "foo" }, spec: { containers: [] } };
  assert.equal(hostNames(long, "cluster.local").hostname, "a".repeat(62));
});

test("the hosts file has the pod and its aliases", () => {
  const text = hostsFile(
    podWith({ hostname: "db", subdomain: "data", hostAliases: [{ ip: "192.0.2.7", hostnames: ["a", "b"] }] }),
    "10.244.0.9",
    "cluster.local",
  );
  assert.match(text, /^127\.0\.0\.1\tlocalhost$/m);
  assert.match(text, /^10\.244\.0\.9\tdb\.data\.foo\.svc\.cluster\.local\tdb$/m);
  assert.match(text, /^192\.0\.2\.7\ta\tb$/m);
});
