// Runs a SavedModel's signatures without Python: LoadSavedModel into a session, as TensorFlow Serving does it.
//
//   load_saved_model SAVED_MODEL REQUESTS RESPONSES
//
// REQUESTS is a TFRecord of tensorflow.NodeDef, each of which is a call: `op` is the signature's key, the attributes are
// its inputs, as tensors. RESPONSES gets one NodeDef a call: the attributes are its outputs, `op` is the status ("OK",
// "INVALID_ARGUMENT" ...) and `name` its message. (NodeDef is the one message with named tensors that TensorFlow's wheel
// has for both languages.) Exit status 1, with a line on stderr, if the model does not load or a file is damaged; a
// request that fails is an answer.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/platform/errors.h"  // TF_RETURN_IF_ERROR
#include "tensorflow/core/public/session_options.h"

namespace {

absl::Status Run(const tensorflow::SavedModelBundle& model, const tensorflow::NodeDef& request,
                 tensorflow::NodeDef* response) {
  const auto& signatures = model.GetSignatures();
  const auto found = signatures.find(request.op());
  if (found == signatures.end()) return absl::FailedPreconditionError(absl::StrCat("no signature ", request.op()));
  const tensorflow::SignatureDef& signature = found->second;
  std::vector<std::pair<std::string, tensorflow::Tensor>> feeds;
  for (const auto& feed : request.attr()) {
    const auto input = signature.inputs().find(feed.first);
    if (input == signature.inputs().end()) return absl::InvalidArgumentError(absl::StrCat("no input ", feed.first));
    tensorflow::Tensor value;
    if (!value.FromProto(feed.second.tensor())) {
      return absl::InvalidArgumentError(absl::StrCat("unreadable tensor ", feed.first));
    }
    feeds.emplace_back(input->second.name(), value);
  }
  std::vector<std::string> names, fetches;
  for (const auto& output : signature.outputs()) {
    names.push_back(output.first);
    fetches.push_back(output.second.name());
  }
  std::vector<tensorflow::Tensor> values;
  TF_RETURN_IF_ERROR(model.GetSession()->Run(feeds, fetches, {}, &values));
  for (size_t n = 0; n < names.size(); ++n) {
    values[n].AsProtoField((*response->mutable_attr())[names[n]].mutable_tensor());
  }
  return absl::OkStatus();
}

absl::Status Main(const std::string& folder, const std::string& requests, const std::string& responses) {
  tensorflow::SessionOptions options;
  options.config.set_intra_op_parallelism_threads(1);
  options.config.set_inter_op_parallelism_threads(1);
  tensorflow::SavedModelBundle model;
  TF_RETURN_IF_ERROR(tensorflow::LoadSavedModel(options, tensorflow::RunOptions(), folder, {"serve"}, &model));
  std::unique_ptr<tensorflow::RandomAccessFile> source;
  std::unique_ptr<tensorflow::WritableFile> target;
  TF_RETURN_IF_ERROR(tensorflow::Env::Default()->NewRandomAccessFile(requests, &source));
  TF_RETURN_IF_ERROR(tensorflow::Env::Default()->NewWritableFile(responses, &target));
  tensorflow::io::SequentialRecordReader reader(source.get());
  tensorflow::io::RecordWriter writer(target.get());
  tensorflow::tstring record;
  absl::Status read;
  while ((read = reader.ReadRecord(&record)).ok()) {
    tensorflow::NodeDef request, response;
    if (!request.ParseFromString(std::string(record))) return absl::DataLossError("a record is no NodeDef");
    const absl::Status status = Run(model, request, &response);
    response.set_op(absl::StatusCodeToString(status.code()));
    // TensorFlow's messages quote bytes of the request, and a string field takes UTF-8 alone.
    response.set_name(absl::CHexEscape(status.message()));
    TF_RETURN_IF_ERROR(writer.WriteRecord(response.SerializeAsString()));
  }
  if (!absl::IsOutOfRange(read)) return read;  // out of range is the file's end
  TF_RETURN_IF_ERROR(writer.Close());
  return target->Close();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: load_saved_model SAVED_MODEL REQUESTS RESPONSES\n";
    return 1;
  }
  const absl::Status status = Main(arguments[1], arguments[2], arguments[3]);
  if (!status.ok()) std::cerr << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
