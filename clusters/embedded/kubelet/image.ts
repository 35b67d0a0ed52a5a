/** A container image on the embedded cluster: directories of the component cache, and the defaults of an OCI image config. */
export interface Image {
  /** Its name in the catalogue, for `status.containerStatuses[].image`. */
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
