/** What tests read of a model in `GET /v1/status`. */
export interface StatusModel {
  readonly name: string;
  readonly state: string;
  readonly host: string | null;
  readonly pid: number | null;
  readonly group: string | null;
  readonly leased: number;
  readonly queued: number;
  readonly crashes: number;
  readonly loads: number;
  readonly restored_prefix_tokens: number;
  readonly memory: {
    readonly planned: { totalBytes: number } | null;
    readonly allocated: { totalBytes: number; sharedWeights?: true } | null;
  };
  readonly health: { readonly verdict: string } | null;
  readonly last_error: { readonly code: string; readonly message: string } | null;
}
