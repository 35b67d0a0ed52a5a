/** The check server of scenarios/workloads/ext-authz; meshproof's own clusters have it in namespace foo. */
const SERVICE = "ext-authz.foo.svc.cluster.local";

const http = (name: string, port: number) => ({
  name,
  envoyExtAuthzHttp: { service: SERVICE, port, includeRequestHeadersInCheck: ["x-ext-authz"] },
});

/**
 * The extension providers of meshproof's own meshes, from the installation on. The names come from Istio's external authorization task;
 * nothing listens on the second one's port.
 */
export const PROVIDERS = [
  http("sample-ext-authz-http", 8000),
  http("unreachable-ext-authz-http", 9),
  { name: "sample-ext-authz-grpc", envoyExtAuthzGrpc: { service: SERVICE, port: 9000 } },
];
