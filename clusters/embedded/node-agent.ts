import { createWriteStream } from "node:fs";
import { join } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { catalogueNames, resolveImage, type Shelf } from "../components/catalogue.ts";
import { startKubelet } from "./kubelet/index.ts";
import {
  API_PORT,
  API_SERVICE_ADDRESS,
  BRIDGE,
  CLUSTER_DOMAIN,
  DNS_SERVICE_ADDRESS,
  NODE_ADDRESS,
  NODE_NAME,
  POD_CIDR,
} from "./node-layout.ts";
import type { Pki } from "./pki.ts";
import type { RunPaths } from "./run-dir.ts";

/** Starts the kubelet in this process; resolves once the node is Ready. */
export async function startNodeAgent(options: {
  readonly dir: RunPaths;
  readonly nodeRoot: string;
  readonly debianRoot: string;
  readonly pki: Pki;
  readonly shelf: Shelf;
}): Promise<void> {
  const { dir, pki, shelf } = options;
  const log = createWriteStream(join(dir.logs, "kubelet.log"), { mode: 0o600 });
  const { certificate, privateKey } = pki.servers.kubelet;
  await startKubelet({
    kubeConfig: credentialsOf(pki),
    nodeName: NODE_NAME,
    nodeIp: NODE_ADDRESS,
    podCidr: POD_CIDR,
    bridge: BRIDGE,
    clusterDns: DNS_SERVICE_ADDRESS,
    clusterDomain: CLUSTER_DOMAIN,
    serviceHost: API_SERVICE_ADDRESS,
    runDir: join(dir.state, "kubelet"),
    debianRoot: options.debianRoot,
    nodeRoot: options.nodeRoot,
    resolveImage: (image) => resolveImage(image, shelf),
    catalogueText: catalogueNames().join(", "),
    serving: { cert: certificate, key: privateKey, clientCa: pki.authority.certificate },
    log: (line) => log.write(`${new Date().toISOString()} ${line}\n`),
  });
}

/** The parts of a KubeConfig that the kubelet reads; the library takes longer to load than the API server to start. */
function credentialsOf(pki: Pki): KubeConfig {
  const { certificate, privateKey } = pki.clients.kubelet;
  const tls = { ca: pki.authority.certificate, cert: certificate, key: privateKey };
  const used: Pick<KubeConfig, "getCurrentCluster" | "applyToHTTPSOptions"> = {
    getCurrentCluster: () => ({ name: "", server: `https://127.0.0.1:${API_PORT}`, skipTLSVerify: false }),
    applyToHTTPSOptions: (options) => Promise.resolve(void Object.assign(options, tls)),
  };
  return used as KubeConfig;
}
