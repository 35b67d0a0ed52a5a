import { generateKeyPairSync } from "node:crypto";
import { createAuthority, issueCertificate, type KeyPair } from "./certificate.ts";
import { API_PORT, API_SERVICE_ADDRESS, CLUSTER_DOMAIN, NODE_ADDRESS, NODE_NAME } from "./node-layout.ts";

/** All secrets of one cluster in PEM, created at its start. */
export interface Pki {
  /** Signs every certificate of the control plane; the kubeconfig trusts it. */
  readonly authority: KeyPair;
  /** The CA that istiod trusts for JWKS endpoints, besides the public CAs. */
  readonly jwksAuthority: KeyPair;
  readonly servers: { readonly apiserver: KeyPair; readonly kubelet: KeyPair };
  readonly clients: Readonly<Record<Client, KeyPair>>;
  /** Signs service account tokens. */
  readonly serviceAccounts: { readonly publicKey: string; readonly privateKey: string };
}

/** The clients of the API server, with the subjects of Kubernetes' own RBAC (the same as kubeadm's). */
const CLIENTS = {
  admin: { commonName: "meshproof-admin", organizations: ["system:masters"] },
  "apiserver-kubelet": { commonName: "kube-apiserver-kubelet-client", organizations: ["system:masters"] },
  "controller-manager": { commonName: "system:kube-controller-manager" },
  scheduler: { commonName: "system:kube-scheduler" },
  "kube-proxy": { commonName: "system:kube-proxy" },
  coredns: { commonName: "system:coredns" },
  kubelet: { commonName: `system:node:${NODE_NAME}`, organizations: ["system:nodes"] },
} as const;

export type Client = keyof typeof CLIENTS;

/** The names under which the API server is reached: from the node, from pods, and from the host through the relay. */
const API_HOSTS = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  `kubernetes.default.svc.${CLUSTER_DOMAIN}`,
  "localhost",
  "127.0.0.1",
  API_SERVICE_ADDRESS,
  NODE_ADDRESS,
];

export function createPki(): Pki {
  const authority = createAuthority("meshproof-ca");
  const { certificate, privateKey } = createAuthority("meshproof-jwks-ca");
  const tokens = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "sec1", format: "pem" },
  });
  const clients = Object.entries(CLIENTS).map(([name, subject]) => [name, issueCertificate(authority, subject)]);
  return {
    authority: { certificate: authority.certificate, privateKey: authority.privateKey },
    jwksAuthority: { certificate, privateKey },
    servers: {
      apiserver: issueCertificate(authority, { commonName: "kube-apiserver" }, API_HOSTS),
      kubelet: issueCertificate(authority, { commonName: `system:node:${NODE_NAME}` }, [NODE_NAME, NODE_ADDRESS]),
    },
    clients: Object.fromEntries(clients) as Record<Client, KeyPair>,
    serviceAccounts: tokens,
  };
}

/** A kubeconfig with one context and everything inline; JSON is YAML. */
export function kubeconfigOf(
  pki: Pki,
  client: Client,
  { context = client, port = API_PORT }: { context?: string; port?: number } = {},
): string {
  const base64 = (pem: string): string => Buffer.from(pem).toString("base64");
  const { certificate, privateKey } = pki.clients[client];
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: context,
        cluster: {
          server: `https://127.0.0.1:${port}`,
          "certificate-authority-data": base64(pki.authority.certificate),
        },
      },
    ],
    users: [
      {
        name: context,
        user: { "client-certificate-data": base64(certificate), "client-key-data": base64(privateKey) },
      },
    ],
    contexts: [{ name: context, context: { cluster: context, user: context } }],
    "current-context": context,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
