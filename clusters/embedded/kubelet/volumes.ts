import { chmodSync, chownSync, existsSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path/posix";
import type { V1Container, V1Pod, V1Volume } from "@kubernetes/client-node";
import { writeAtomically } from "./atomic-writer.ts";
import { ContainerConfigError, type Env, expand } from "./env.ts";
import type { PodFacts } from "./fields.ts";
import type { Objects } from "./objects.ts";
import { payloadOf, VolumeError } from "./payload.ts";
import type { ContainerMount } from "./rootfs.ts";
import type { PodTokens } from "./tokens.ts";

/** The volumes of one pod, as directories on the node. */
export class PodVolumes {
  readonly #dir: string;
  readonly #objects: Objects;
  readonly #tokens: PodTokens;

  constructor(dir: string, objects: Objects, tokens: PodTokens) {
    this.#dir = dir;
    this.#objects = objects;
    this.#tokens = tokens;
  }

  /**
   * Creates missing volumes and updates the others to the current config maps, secrets, tokens and the pod itself.
   * @throws VolumeError with the volume's name.
   */
  async sync(pod: V1Pod, facts: PodFacts): Promise<void> {
    await this.#tokens.refresh(pod);
    const namespace = pod.metadata?.namespace ?? "";
    const group = pod.spec?.securityContext?.fsGroup;
    for (const volume of pod.spec?.volumes ?? []) {
      const dir = this.#dirOf(volume.name);
      try {
        const payload = payloadOf(volume, {
          pod,
          facts,
          configMap: (name) => this.#objects.get("configmaps", namespace, name),
          secret: (name) => this.#objects.get("secrets", namespace, name),
          token: (projection) => this.#tokens.get(projection),
        });
        if (!payload && !volume.emptyDir) throw new VolumeError(unsupported(volume));
        if (!existsSync(dir)) makeDir(dir, payload ? 0o755 : 0o777, group);
        if (payload) writeAtomically(dir, payload, group);
        for (const path of nestedMountPoints(pod, volume.name)) mkdirSync(join(dir, path), { recursive: true });
      } catch (error) {
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${(error as Error).message}`);
      }
    }
  }

  /**
   * A container's volume mounts.
   * @throws ContainerConfigError if a subPath is outside its volume.
   */
  mountsOf(pod: V1Pod, container: V1Container, env: Env): ContainerMount[] {
    return (container.volumeMounts ?? []).map((mount) => {
      const volume = pod.spec?.volumes?.find(({ name }) => name === mount.name);
      if (!volume) throw new ContainerConfigError(`volume "${mount.name}" is not declared`);
      const subPath = mount.subPathExpr === undefined ? (mount.subPath ?? "") : expand(mount.subPathExpr, env);
      const source = this.#subPath(volume, subPath);
      return {
        source,
        target: resolve("/", mount.mountPath),
        // Content from the API is never writable inside.
        readOnly: mount.readOnly === true || !volume.emptyDir,
        isFile: !statSync(source).isDirectory(),
      };
    });
  }

  #subPath(volume: V1Volume, subPath: string): string {
    const root = this.#dirOf(volume.name);
    if (subPath === "") return root;
    const path = join(root, subPath);
    const refuse = (): never => {
      throw new ContainerConfigError(`subPath "${subPath}" leads out of volume "${volume.name}"`);
    };
    if (!path.startsWith(`${root}/`)) refuse();
    if (!existsSync(path)) {
      if (!volume.emptyDir)
        throw new ContainerConfigError(`subPath "${subPath}" does not exist in volume "${volume.name}"`);
      const { mode, gid } = statSync(root);
      mkdirSync(path, { recursive: true });
      chownSync(path, 0, gid);
      chmodSync(path, mode & 0o7777);
    }
    // A container may have left a symbolic link there that points to a file of the node.
    const real = realpathSync(path);
    return real.startsWith(`${realpathSync(root)}/`) ? real : refuse();
  }

  #dirOf(name: string): string {
    return join(this.#dir, name);
  }
}

/**
 * The mount points of other volumes inside this one, relative to it: a read-only volume must already have these directories
 * (the kubelet's MakeNestedMountpoints).
 */
export function nestedMountPoints(pod: V1Pod, volume: string): string[] {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return containers.flatMap(({ volumeMounts = [] }) =>
    volumeMounts
      .filter((mount) => mount.name === volume && !mount.subPath && !mount.subPathExpr)
      .flatMap((outer) =>
        volumeMounts.map((inner) => relative(resolve("/", outer.mountPath), resolve("/", inner.mountPath))),
      )
      .filter((path) => path !== "" && !path.startsWith("..")),
  );
}

function makeDir(dir: string, mode: number, group: number | undefined): void {
  mkdirSync(dir, { recursive: true });
  if (group !== undefined) chownSync(dir, 0, group);
  // Set-group-id: files created inside belong to the fsGroup, too.
  chmodSync(dir, group === undefined ? mode : mode | 0o2000);
}

function unsupported(volume: V1Volume): string {
  const kind = Object.keys(volume).find((key) => key !== "name") ?? "?";
  return kind === "hostPath"
    ? "hostPath volumes are refused on the embedded cluster: pods do not see the host; use an emptyDir or a config map"
    : `volumes of kind ${kind} are not available on the embedded cluster`;
}
