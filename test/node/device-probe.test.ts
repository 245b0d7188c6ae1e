import { expect } from 'chai';
import { limitDevices, machineProbe } from '../../src/node/device-probe.js';
import type { DeviceInfo } from '../../src/schema/load.js';

const GIB = 2 ** 30;
const CPU: DeviceInfo = { id: 'cpu', kind: 'cpu', description: 'a CPU', totalBytes: 16 * GIB, freeBytes: 10 * GIB };
const GPU: DeviceInfo = { id: 'cuda0', kind: 'cuda', description: 'a GPU', totalBytes: 24 * GIB, freeBytes: 20 * GIB };

function source(devices: readonly DeviceInfo[]): { devices(): Promise<readonly DeviceInfo[]>; asked: number } {
  return {
    asked: 0,
    async devices() {
      this.asked += 1;
      return devices;
    },
  };
}

describe('limitDevices', () => {
  it('says the limit of that device alone, and leaves what the machine has as it is', () => {
    const [gpu, cpu] = limitDevices([GPU, CPU], { cuda0: 8 * GIB });
    expect(gpu).to.deep.equal({ ...GPU, limitBytes: 8 * GIB });
    expect(cpu).to.deep.equal(CPU);
  });

  it('makes up no device', () => {
    expect(limitDevices([CPU], { cuda0: GIB })).to.deep.equal([CPU]);
  });
});

describe('machineProbe', () => {
  it('asks once on a machine without GPUs and reads the free memory itself from then on', async () => {
    const asked = source([CPU]);
    const probe = machineProbe({}, () => 3 * GIB);
    expect(await probe.devices(asked)).to.deep.equal([CPU]);
    expect((await probe.devices(asked))[0]).to.include({ totalBytes: 16 * GIB, freeBytes: 3 * GIB });
    expect(asked.asked).to.equal(1);
  });

  it('asks each time where there is a GPU', async () => {
    const asked = source([GPU, CPU]);
    const probe = machineProbe({}, () => 1);
    await probe.devices(asked);
    expect(await probe.devices(asked)).to.deep.equal([GPU, CPU]);
    expect(asked.asked).to.equal(2);
  });

  it('says the limits beside what it reads itself too', async () => {
    const probe = machineProbe({ cpu: 2 * GIB }, () => 3 * GIB);
    await probe.devices(source([CPU]));
    expect((await probe.devices(source([CPU])))[0]).to.include({
      totalBytes: 16 * GIB,
      freeBytes: 3 * GIB,
      limitBytes: 2 * GIB,
    });
  });

  it('asks again after an answer that failed', async () => {
    const probe = machineProbe({});
    const failing = { devices: async () => Promise.reject(new Error('no planner')) };
    expect(await probe.devices(failing).catch((error: Error) => error.message)).to.equal('no planner');
    expect(await probe.devices(source([CPU]))).to.deep.equal([CPU]);
  });

  it('knows what this machine has free', async () => {
    const probe = machineProbe({});
    await probe.devices(source([CPU]));
    const [cpu] = await probe.devices(source([CPU]));
    expect(cpu?.freeBytes).to.be.within(1024 * 1024, CPU.totalBytes);
  });
});
