import { expect } from 'chai';
import { chooseGpu, detectedArchitectures } from '../../scripts/setup/gpu.mjs';

const bare = { platform: 'linux', nvidiaGpu: false, cublas: false, computeCapabilities: [], vulkanTools: false };
const gpuOnly = { ...bare, nvidiaGpu: true, computeCapabilities: ['8.9'] };
const withToolkit = { ...gpuOnly, nvcc: '/opt/cuda/bin/nvcc', cublas: true };
const mac = { ...bare, platform: 'darwin' };

function refusal(action: () => unknown): { message: string; remedy: string } {
  try {
    action();
  } catch (error) {
    return error as { message: string; remedy: string };
  }
  throw new Error('nothing was refused');
}

describe('chooseGpu', () => {
  const table = [
    { wanted: undefined, facts: bare, gpu: 'cpu' },
    { wanted: 'auto', facts: bare, gpu: 'cpu' },
    { wanted: 'auto', facts: { ...bare, nvcc: '/bin/nvcc', cublas: true }, gpu: 'cpu' },
    { wanted: 'auto', facts: mac, gpu: 'metal' },
    { wanted: '', facts: withToolkit, gpu: 'cuda' },
    { wanted: 'cpu', facts: withToolkit, gpu: 'cpu' },
    { wanted: 'cpu', facts: gpuOnly, gpu: 'cpu' },
    { wanted: 'cpu', facts: mac, gpu: 'cpu' },
    { wanted: 'CUDA', facts: withToolkit, gpu: 'cuda' },
    { wanted: 'vulkan', facts: { ...bare, vulkanTools: true }, gpu: 'vulkan' },
  ];
  for (const { wanted, facts, gpu } of table) {
    const seen = `${facts.platform}, ${facts.nvidiaGpu ? 'GPU' : 'no GPU'}, ${facts.cublas ? 'toolkit' : 'no toolkit'}`;
    it(`${wanted === undefined ? 'nothing' : `"${wanted}"`} asked for on ${seen}: ${gpu}`, () => {
      expect(chooseGpu(wanted, facts).gpu).to.equal(gpu);
    });
  }

  it('stops at an NVIDIA GPU without a toolkit, with the install command and the way to the CPU', () => {
    const { message, remedy } = refusal(() => chooseGpu('auto', gpuOnly));
    expect(message).to.contain('NVIDIA GPU is present').and.to.contain('nvcc').and.to.contain('cuBLAS');
    expect(remedy).to.contain('apt-get install').and.to.contain('LLAMAESTRO_GPU=cpu');
  });

  it('names cuBLAS alone when only that is missing', () => {
    const { message } = refusal(() => chooseGpu('auto', { ...withToolkit, cublas: false }));
    expect(message).to.contain('cuBLAS').and.not.to.contain('nvcc');
  });

  it('refuses what the platform does not have', () => {
    expect(refusal(() => chooseGpu('metal', bare)).message).to.contain('macOS only');
    expect(refusal(() => chooseGpu('cuda', mac)).message).to.contain('macOS');
    expect(refusal(() => chooseGpu('vulkan', bare)).remedy).to.contain('install');
  });

  it('refuses a word it does not know and lists those it knows', () => {
    expect(refusal(() => chooseGpu('rocm', bare)).message).to.contain('auto, cuda, metal, vulkan, cpu');
  });

  it('asks for the architecture when no device shows it, and takes the one that is given', () => {
    const blind = { ...withToolkit, computeCapabilities: [] };
    expect(refusal(() => chooseGpu('cuda', blind)).remedy).to.contain('CUDA_ARCHITECTURES=');
    expect(chooseGpu('cuda', blind, '86').architectures).to.equal('86');
    expect(chooseGpu('cuda', withToolkit, '86').architectures).to.equal('86');
  });
});

describe('detectedArchitectures', () => {
  it('names each kind of device once', () => {
    expect(detectedArchitectures(['8.9', '8.9', '12.0'])).to.equal('89-real;120-real');
  });

  it("uses Hopper's own instruction set", () => {
    expect(detectedArchitectures(['9.0'])).to.equal('90a-real');
  });

  it('ignores what a driver says instead of a number', () => {
    expect(detectedArchitectures(['[N/A]'])).to.equal('');
  });
});
