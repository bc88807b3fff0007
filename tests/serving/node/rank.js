// Sends one Predict request with stock gRPC for Node, in both encodings of its numbers, and prints the scores as JSON.
//
//   node rank.js DESCRIPTORS REQUEST.json
//
// DESCRIPTORS is a serialized FileDescriptorSet of TensorFlow Serving's public protos, as `protoc --include_imports
// --descriptor_set_out` writes it. The .proto files are not in the tensorflow-serving-api wheel, but their descriptors
// are, so `python -m serving.descriptors` writes the set from those.
//
// REQUEST.json: {address, model, signature, deadlineMs, inputs: {name: {dtype, shape, values}}}, values flat; int64 as
// strings, because a JSON number has 53 bits.
'use strict';

const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

// DataType -> bytes of an element, its writer and reader in tensor_content (little endian), its field for single values.
const KINDS = {
  DT_FLOAT: [4, 'writeFloatLE', 'readFloatLE', 'float_val'],
  DT_INT32: [4, 'writeInt32LE', 'readInt32LE', 'int_val'],
  DT_INT64: [8, 'writeBigInt64LE', 'readBigInt64LE', 'int64_val'],
};

function encode({dtype, shape, values}, packed) {
  const tensor = {dtype, tensor_shape: {dim: shape.map((size) => ({size}))}};
  if (dtype === 'DT_STRING') {
    tensor.string_val = values.map((text) => Buffer.from(text, 'utf8')); // strings have this one form only
    return tensor;
  }
  const [bytes, write, , field] = KINDS[dtype];
  if (packed) {
    tensor.tensor_content = Buffer.alloc(bytes * values.length);
    values.forEach((value, n) => tensor.tensor_content[write](dtype === 'DT_INT64' ? BigInt(value) : value, bytes * n));
  } else {
    tensor[field] = values;
  }
  return tensor;
}

function decode(tensor) {
  const [bytes, , read, field] = KINDS[tensor.dtype];
  const content = tensor.tensor_content;
  const values = content.length
    ? Array.from({length: content.length / bytes}, (_, n) => content[read](bytes * n))
    : tensor[field];
  return {shape: tensor.tensor_shape.dim.map((dim) => Number(dim.size)), values};
}

async function main([descriptors, file]) {
  const {address, model, signature, deadlineMs, inputs} = JSON.parse(fs.readFileSync(file, 'utf8'));
  const options = {keepCase: true, longs: String, enums: String, defaults: true};
  const types = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(descriptors), options);
  const {PredictionService} = grpc.loadPackageDefinition(types).tensorflow.serving;
  const client = new PredictionService(address, grpc.credentials.createInsecure());
  const predict = (request) => new Promise((resolve, reject) => {
    const deadline = Date.now() + deadlineMs;
    client.Predict(request, {deadline}, (error, response) => (error ? reject(error) : resolve(response)));
  });
  const answers = {};
  for (const encoding of ['packed', 'single']) {
    const response = await predict({
      model_spec: {name: model, signature_name: signature},
      // A descriptor set says `repeated InputsEntry` where a .proto file says `map`; a loaded .proto takes an object.
      inputs: Object.entries(inputs).map(([key, tensor]) => ({key, value: encode(tensor, encoding === 'packed')})),
    });
    answers[encoding] = {version: response.model_spec.version.value};
    for (const {key, value} of response.outputs) answers[encoding][key] = decode(value);
  }
  console.log(JSON.stringify(answers));
  client.close();
}

main(process.argv.slice(2)).catch(({code, details, message}) => {
  console.log(JSON.stringify({error: {code, details: details || message}}));
  process.exitCode = 1;
});
