/** What a container image is on the embedded cluster: directories of the component cache, and defaults as an OCI image config has them. */
export interface Image {
  /** As the catalogue names it, for `status.containerStatuses[].image`. */
  readonly name: string;
  /** `sha256:…` of the component's content, for `imageID`. */
  readonly digest: string;
  /** Directories of files, topmost first; they are laid over the shared Debian root. */
  readonly layers: readonly string[];
  /** Single files or directories of the host that appear read-only inside (for example the Node.js binary). */
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: number;
  readonly workingDir: string;
}
