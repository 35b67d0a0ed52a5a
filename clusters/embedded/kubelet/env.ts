import type { V1ConfigMap, V1Container, V1Pod, V1Secret, V1Service } from "@kubernetes/client-node";
import { type PodFacts, readField, readResource } from "./fields.ts";

export type Env = Readonly<Record<string, string>>;

/** Where `configMapKeyRef`, `secretKeyRef` and `envFrom` read from; undefined where the object does not exist. */
export interface EnvSources {
  configMap(name: string): V1ConfigMap | undefined;
  secret(name: string): V1Secret | undefined;
}

/** A container that cannot be made from its spec; becomes the waiting reason CreateContainerConfigError. */
export class ContainerConfigError extends Error {
  override readonly name = "CreateContainerConfigError";
}

/**
 * `$(NAME)` replaced where NAME is known, `$$` is a literal `$`, everything else stays
 * (Kubernetes: third_party/forked/golang/expansion).
 */
export function expand(text: string, env: Env): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, what: string, name?: string) =>
    what === "$" ? "$" : (env[name ?? ""] ?? whole),
  );
}

/**
 * A container's environment, as Kubernetes orders it: services, then `envFrom`, then `env`, later ones win;
 * a value may use those before it.
 * @throws ContainerConfigError where a required config map, secret or key is missing.
 */
export function buildEnv(
  pod: V1Pod,
  container: V1Container,
  facts: PodFacts,
  sources: EnvSources,
  services: Env = {},
): Record<string, string> {
  const env: Record<string, string> = { ...services };
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const ref = configMapRef ?? secretRef;
    const found = lookUp(configMapRef, secretRef, sources);
    if (!found && !ref?.optional) throw new ContainerConfigError(notFound(configMapRef, secretRef));
    for (const [key, value] of Object.entries(found ?? {})) env[prefix + key] = value;
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom ?? {};
    const keyRef = configMapKeyRef ?? secretKeyRef;
    if (fieldRef) env[name] = readField(pod, facts, fieldRef);
    else if (resourceFieldRef) env[name] = readResource(pod, facts, resourceFieldRef, container);
    else if (keyRef) {
      const found = lookUp(configMapKeyRef, secretKeyRef, sources);
      const text = found?.[keyRef.key];
      if (text !== undefined) env[name] = text;
      else if (!keyRef.optional)
        throw new ContainerConfigError(
          found
            ? `couldn't find key ${keyRef.key} in ${configMapKeyRef ? "ConfigMap" : "Secret"} ${pod.metadata?.namespace}/${keyRef.name}`
            : notFound(configMapKeyRef, secretKeyRef),
        );
    } else env[name] = expand(value ?? "", env);
  }
  return env;
}

type NameRef = { readonly name?: string } | undefined;

/** The texts of the config map or secret that is referred to; undefined where it does not exist. */
function lookUp(configMap: NameRef, secret: NameRef, sources: EnvSources): Record<string, string> | undefined {
  if (!configMap) return decodeSecret(sources.secret(secret?.name ?? ""));
  const found = sources.configMap(configMap.name ?? "");
  return found && (found.data ?? {});
}

function notFound(configMap: NameRef, secret: NameRef): string {
  return configMap ? `configmap "${configMap.name}" not found` : `secret "${secret?.name}" not found`;
}

/**
 * The variables that name services: `FOO_SERVICE_HOST`, `FOO_SERVICE_PORT[_NAME]` and Docker's link form, for the
 * namespace's services and always for the API server's.
 */
export function serviceEnv(services: Iterable<V1Service>, namespace: string, links: boolean): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { metadata, spec } of services) {
    const master = metadata?.namespace === "default" && metadata.name === "kubernetes";
    const ip = spec?.clusterIP;
    if (!master && (!links || metadata?.namespace !== namespace)) continue;
    if (!ip || ip === "None" || !spec.ports?.length) continue;
    const name = variableName(metadata?.name ?? "");
    const first = spec.ports[0]!;
    env[`${name}_SERVICE_HOST`] = ip;
    env[`${name}_SERVICE_PORT`] = String(first.port);
    env[`${name}_PORT`] = linkUrl(first.protocol, ip, first.port);
    for (const port of spec.ports) {
      if (port.name) env[`${name}_SERVICE_PORT_${variableName(port.name)}`] = String(port.port);
      const protocol = port.protocol ?? "TCP";
      const link = `${name}_PORT_${port.port}_${protocol}`;
      env[link] = linkUrl(protocol, ip, port.port);
      env[`${link}_PROTO`] = protocol.toLowerCase();
      env[`${link}_PORT`] = String(port.port);
      env[`${link}_ADDR`] = ip;
    }
  }
  return env;
}

/** The program and its arguments: the spec's `command` replaces the image's entry point and with it the image's arguments. */
export function commandLine(
  container: Pick<V1Container, "command" | "args">,
  image: { readonly entrypoint: readonly string[]; readonly cmd: readonly string[] },
  env: Env,
): string[] {
  const command = container.command?.map((word) => expand(word, env));
  const args = container.args?.map((word) => expand(word, env));
  const line = command?.length
    ? [...command, ...(args ?? [])]
    : [...image.entrypoint, ...(args?.length ? args : image.cmd)];
  if (line.length === 0) throw new ContainerConfigError("no command specified");
  return line;
}

function decodeSecret(secret: V1Secret | undefined): Record<string, string> | undefined {
  return (
    secret &&
    Object.fromEntries(
      Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
    )
  );
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}

function linkUrl(protocol: string | undefined, ip: string, port: number): string {
  return `${(protocol ?? "TCP").toLowerCase()}://${ip}:${port}`;
}
