#include "runtime/engine/request_record.h"

namespace zoetrope {

std::string request_record_to_json(const RequestRecord& record) {
  RequestRecord copy = record;  // fields() takes what it could also fill
  JsonWriter writer;
  fields(writer, copy);
  return writer.json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<RequestRecord> parse_request_record(std::string_view text, const std::string& origin) {
  if (text.size() > kMaxRecordBytes)
    return error(Code::kDataLoss, origin, ": ", text.size(), " bytes; a record has at most ",
                 kMaxRecordBytes);
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return error(Code::kDataLoss, origin, ": not JSON");
  RequestRecord record;
  JsonReader reader(json, origin);
  fields(reader, record);
  ZT_RETURN_IF_ERROR(reader.finish());
  return record;
}

}  // namespace zoetrope
