/** Shapes of what is said about memory: planned, allocated, observed. Part of the contract in `engine.ts`, which exports them. */

/** Bytes of one buffer kind on one device. */
export interface DeviceMemory {
  /** The id of a `DeviceInfo`. */
  readonly device: string;
  readonly weightsBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

/** Predicted by simulation (no byte of weights or KV allocated) or read back after the load. */
export interface MemoryPlan {
  readonly devices: readonly DeviceMemory[];
  /** Logits and embeddings buffer on the host: exact formula, not part of the simulation. */
  readonly outputBytes: number;
  /** Vocabulary, cell metadata, graph: an estimate from above, and named as such. */
  readonly estimatedExtraBytes: number;
  /** Sum of everything above. */
  readonly totalBytes: number;
  readonly contextTokens: number;
  readonly contextTokensPerSlot: number;
  readonly slots: number;
  readonly gpuLayers: number;
  /** Host memory that the prefix cache may grow to as prompts come; not part of the total. */
  readonly prefixCacheBytes: number;
  /** Milliseconds the planning took, next to nothing when it was done before for the same file and options; 0 for a read-back. */
  readonly simulatedMs: number;
  /**
   * True when another engine of this process has loaded the same file with the same places of its tensors: this one uses
   * its weights, and they are not in these figures. Always counted in exactly one engine, the oldest that is open.
   */
  readonly sharedWeights?: true;
}

/** The bytes of one device side by side: what the plan said, what the buffers hold, what the system shows. */
export interface DeviceObservation {
  /** The id of a `DeviceInfo`. */
  readonly device: string;
  /** Weights, cache and compute buffers; on the CPU also output and estimated extra. */
  readonly plannedBytes: number;
  readonly allocatedBytes: number;
  /**
   * What is gone since before the load: free memory of a GPU, private memory of this process for the CPU. It includes what
   * others took or gave back meanwhile and leaves out pages not yet touched. Absent where the system shows nothing.
   */
  readonly observedBytes?: number;
  /** observedBytes - plannedBytes. */
  readonly differenceBytes?: number;
}

/** What an engine holds: the same figures as the plan, read from the buffers, and beside them what was observed. */
export interface MemoryReport extends MemoryPlan {
  readonly observed: readonly DeviceObservation[];
}
