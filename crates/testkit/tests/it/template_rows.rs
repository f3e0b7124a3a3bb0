//! What infra/README.md says of the template, row by row: each property is where it should be, and each row's check
//! fails when one of its properties is taken away or changed. Needs no platform: a local peer ignores several of them.

use std::{collections::BTreeMap, fs, iter};

use tollgate_pipeline::{fraud::FraudError, ports::PortError};
use yaml_rust2::{Yaml, YamlLoader, yaml::Hash};

use crate::platform::root;

/// Where something is, and what it is, written in one line as [`written`] does.
///
/// A path begins with logical names, several with `|`, which stand for their `Properties`; or with another part of the
/// template and a colon. Further on, `Sid=TlsOnly` is the element of a list that has this key, and a number is its place.
type Fact<'a> = (&'a str, &'a str);

const API: &[Fact<'_>] = &[
    ("Parameters:Ingress/AllowedValues", "[rest, http-api, function-url]"),
    ("WebhookPath/PathPart", "webhook"),
    ("EndpointPath/ParentId", "WebhookPath"),
    ("EndpointPath/PathPart", "{endpoint}"),
    ("WebhookPost|EndpointPost/HttpMethod", "POST"),
    ("WebhookPost/ResourceId", "WebhookPath"),
    ("EndpointPost|EndpointGet/ResourceId", "EndpointPath"),
    ("WebhookPost|EndpointPost|EndpointGet/Integration/Type", "AWS_PROXY"),
    ("Api/BinaryMediaTypes", "BinaryMediaTypes"),
    (
        "Parameters:BinaryMediaTypes/Default",
        "application/x-www-form-urlencoded,application/octet-stream,application/xml,application/jose,application/jwt,\
         multipart/form-data,text/html,text/plain,text/xml",
    ),
    // Validation of requests, on the generic path alone.
    ("WebhookPost/RequestValidatorId", "WebhookValidator"),
    ("WebhookPost/RequestModels/application%json", "WebhookModel"),
    ("WebhookPost/RequestParameters/method.request.header.X-Provider-ID", "true"),
    ("WebhookPost/RequestParameters/method.request.header.X-Webhook-Signature", "true"),
    ("WebhookValidator/ValidateRequestBody", "[ReadsJson, true, false]"),
    ("Conditions:ReadsJson", "[[[,, BinaryMediaTypes], */*]]"),
    ("WebhookValidator/ValidateRequestParameters", "true"),
    ("WebhookModel/ContentType", "application/json"),
    ("WebhookModel/Schema/type", "object"),
    ("WebhookModel/Schema/required", "[event_id, transaction_type, amount, timestamp]"),
    ("WebhookModel/Schema/properties/event_id/type", "string"),
    ("WebhookModel/Schema/properties/transaction_type/enum", "[payment, refund, dispute]"),
    ("WebhookModel/Schema/properties/amount/type", "number"),
    ("WebhookModel/Schema/properties/timestamp/type", "string"),
    ("BadBody|BadHeaders/StatusCode", "400"),
    ("BadBody|BadHeaders/ResponseTemplates/application%json", r#"{"error":$context.error.messageString}"#),
    ("EndpointGet/HttpMethod", "GET"),
    ("ApiInvokesValidator|HttpApiInvokesValidator/Principal", "apigateway.amazonaws.com"),
    ("BadBody/ResponseType", "BAD_REQUEST_BODY"),
    ("BadHeaders/ResponseType", "BAD_REQUEST_PARAMETERS"),
    // Throttling, quota, authorisation.
    ("Parameters:ThrottleBurst/Default", "5000"),
    ("Parameters:ThrottleRate/Default", "10000"),
    ("Stage/MethodSettings/0/ThrottlingBurstLimit", "ThrottleBurst"),
    ("Stage/MethodSettings/0/ThrottlingRateLimit", "ThrottleRate"),
    ("Parameters:DailyQuota/Default", "100000"),
    ("UsagePlan/Quota", "{Limit: DailyQuota, Period: DAY}"),
    ("UsagePlan/ApiStages", "[{ApiId: Api, Stage: Stage}]"),
    ("UsagePlanKey/UsagePlanId", "UsagePlan"),
    ("UsagePlanKey/KeyId", "ApiKey"),
    ("ApiKey/Enabled", "true"),
    ("Parameters:Auth/AllowedValues", "[NONE, API_KEY, AWS_IAM]"),
    ("Parameters:AuthProviderPaths/Default", "false"),
    ("WebhookPost/AuthorizationType", "[WantsIam, AWS_IAM, NONE]"),
    ("WebhookPost/ApiKeyRequired", "[WantsKey, true, false]"),
    ("EndpointPost|EndpointGet/AuthorizationType", "[ProvidersWantIam, AWS_IAM, NONE]"),
    ("EndpointPost|EndpointGet/ApiKeyRequired", "[ProvidersWantKey, true, false]"),
    ("Conditions:ProvidersWantKey", "[WantsKey, CoversProviderPaths]"),
    ("Conditions:ProvidersWantIam", "[WantsIam, CoversProviderPaths]"),
    ("Rules:KeysNeedRest/Assertions/0/Assert", "[Ingress, rest]"),
    // Each state of the methods is a snapshot of its own.
    (
        "Stage/DeploymentId",
        "[RestKeyOnAll, RestKeyOnAll1, [RestKey, RestKey1, [RestIamOnAll, RestIamOnAll1, [RestIam, RestIam1, RestOpen1]]]]",
    ),
    ("Stage/TracingEnabled", "true"),
    ("Stage/AccessLogSetting/DestinationArn", "AccessLog.Arn"),
    ("HttpStage/AccessLogSettings/DestinationArn", "AccessLog.Arn"),
    ("AccessLog/RetentionInDays", "AccessLogRetention"),
    ("ApiAccount/CloudWatchRoleArn", "ApiAccountRole.Arn"),
    (
        "ApiAccountRole/ManagedPolicyArns",
        "[arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
    ),
    // Other ways in.
    ("HttpApi/ProtocolType", "HTTP"),
    ("HttpIntegration/PayloadFormatVersion", "2.0"),
    ("HttpWebhookPost/RouteKey", "POST /webhook"),
    ("HttpEndpointPost/RouteKey", "POST /webhook/{endpoint}"),
    ("HttpEndpointGet/RouteKey", "GET /webhook/{endpoint}"),
    ("HttpWebhookPost/AuthorizationType", "[WantsIam, AWS_IAM, NONE]"),
    ("HttpEndpointPost|HttpEndpointGet/AuthorizationType", "[ProvidersWantIam, AWS_IAM, NONE]"),
    ("HttpWebhookPost|HttpEndpointPost|HttpEndpointGet/Target", "integrations/${HttpIntegration}"),
    ("HttpStage/AutoDeploy", "true"),
    ("HttpStage/DefaultRouteSettings/ThrottlingBurstLimit", "ThrottleBurst"),
    ("HttpStage/DefaultRouteSettings/ThrottlingRateLimit", "ThrottleRate"),
    ("FunctionUrl/Qualifier", "live"),
    ("FunctionUrl/AuthType", "[WantsIam, AWS_IAM, NONE]"),
    ("AnybodyCallsUrl/FunctionUrlAuthType", "NONE"),
    ("AnybodyInvokesByUrl/InvokedViaFunctionUrl", "true"),
    ("Resources:Api|Stage|WebhookPost|EndpointPost|EndpointGet/Condition", "UsesRest"),
    ("Resources:HttpApi|HttpStage|HttpIntegration/Condition", "UsesHttpApi"),
    ("Resources:FunctionUrl/Condition", "UsesFunctionUrl"),
    ("Resources:AnybodyCallsUrl|AnybodyInvokesByUrl/Condition", "IsOpenUrl"),
    ("Conditions:IsOpenUrl", "[UsesFunctionUrl, [WantsIam]]"),
    // A domain of one's own.
    ("Domain/DomainName", "DomainName"),
    ("Domain/RegionalCertificateArn", "DomainCertificateArn"),
    ("Domain/SecurityPolicy", "TLS_1_2"),
    ("RestDomainMapping/RestApiId", "Api"),
    ("RestDomainMapping|HttpDomainMapping/DomainName", "Domain"),
    ("Rules:DomainNeedsCertificate/RuleCondition", "[[DomainName, ]]"),
];

const FUNCTIONS: &[Fact<'_>] = &[
    ("Validator|Processor|Archival|FraudDetector/PackageType", "Image"),
    ("Validator|Processor|Archival|FraudDetector/Architectures", "[arm64]"),
    ("Validator|Processor|Archival|FraudDetector/TracingConfig/Mode", "Active"),
    ("Parameters:ValidatorMemory|ProcessorMemory/Default", "1024"),
    ("Parameters:ArchivalMemory|FraudDetectorMemory/Default", "512"),
    ("Parameters:ValidatorTimeout/Default", "30"),
    ("Parameters:ProcessorTimeout|FraudDetectorTimeout/Default", "60"),
    ("Parameters:ArchivalTimeout/Default", "300"),
    ("Validator/MemorySize", "ValidatorMemory"),
    ("Processor/MemorySize", "ProcessorMemory"),
    ("Archival/MemorySize", "ArchivalMemory"),
    ("FraudDetector/MemorySize", "FraudDetectorMemory"),
    ("Validator/Timeout", "ValidatorTimeout"),
    ("Processor/Timeout", "ProcessorTimeout"),
    ("Archival/Timeout", "ArchivalTimeout"),
    ("FraudDetector/Timeout", "FraudDetectorTimeout"),
    (
        "Validator|Processor|Archival|FraudDetector/ReservedConcurrentExecutions",
        "[HasReservedConcurrency, ReservedConcurrency, AWS::NoValue]",
    ),
    ("Parameters:ReservedConcurrency/Default", "-1"),
    // Naming the log group makes the function wait for it.
    ("Validator/LoggingConfig/LogGroup", "ValidatorLog"),
    ("Processor/LoggingConfig/LogGroup", "ProcessorLog"),
    ("Archival/LoggingConfig/LogGroup", "ArchivalLog"),
    ("FraudDetector/LoggingConfig/LogGroup", "FraudDetectorLog"),
    ("ValidatorLog|ProcessorLog|ArchivalLog|FraudDetectorLog/RetentionInDays", "LogRetention"),
    ("Parameters:LogRetention/Default", "30"),
    ("Validator/Role", "ValidatorRole.Arn"),
    ("Processor/Role", "ProcessorRole.Arn"),
    ("Archival/Role", "ArchivalRole.Arn"),
    ("FraudDetector/Role", "FraudDetectorRole.Arn"),
    (
        "ValidatorAsynchronously|ProcessorAsynchronously|ArchivalAsynchronously|FraudDetectorAsynchronously/MaximumRetryAttempts",
        "2",
    ),
    (
        "ValidatorAsynchronously|ProcessorAsynchronously|ArchivalAsynchronously|FraudDetectorAsynchronously/MaximumEventAgeInSeconds",
        "3600",
    ),
    (
        "ValidatorAsynchronously|ProcessorAsynchronously|ArchivalAsynchronously|FraudDetectorAsynchronously/DestinationConfig/OnFailure/Destination",
        "FunctionsDlq.Arn",
    ),
    (
        "ValidatorAsynchronously|ProcessorAsynchronously|ArchivalAsynchronously|FraudDetectorAsynchronously/Qualifier",
        "live",
    ),
    // Releases: everything calls the alias.
    ("ValidatorAlias|ProcessorAlias|ArchivalAlias|FraudDetectorAlias/Name", "live"),
    ("ValidatorAlias/FunctionVersion", "[HasRelease, ValidatorVersion.Version, $LATEST]"),
    ("ProcessorAlias/FunctionVersion", "[HasRelease, ProcessorVersion.Version, $LATEST]"),
    ("ArchivalAlias/FunctionVersion", "[HasRelease, ArchivalVersion.Version, $LATEST]"),
    ("FraudDetectorAlias/FunctionVersion", "[HasRelease, FraudDetectorVersion.Version, $LATEST]"),
    ("ValidatorVersion/Description", "${Release} ${ValidatorImage}"),
    ("ProcessorVersion/Description", "${Release} ${ProcessorImage}"),
    ("ArchivalVersion/Description", "${Release} ${ArchivalImage}"),
    ("FraudDetectorVersion/Description", "${Release} ${FraudDetectorImage}"),
    (
        "Resources:ValidatorVersion|ProcessorVersion|ArchivalVersion|FraudDetectorVersion/UpdateReplacePolicy",
        "Retain",
    ),
    ("IntakeMapping|IntakeOrderedMapping/FunctionName", "ProcessorAlias"),
    ("ArchiveMapping/FunctionName", "ArchivalAlias"),
    ("HttpIntegration/IntegrationUri", "ValidatorAlias"),
    ("ApiInvokesValidator|HttpApiInvokesValidator/FunctionName", "ValidatorAlias"),
    (
        "ValidatorShift|ProcessorShift|ArchivalShift|FraudDetectorShift/AutoRollbackConfiguration/Enabled",
        "true",
    ),
    ("ValidatorShift/AlarmConfiguration/Alarms", "[{Name: ValidatorReleaseAlarm}]"),
    ("ProcessorShift/AlarmConfiguration/Alarms", "[{Name: ProcessorReleaseAlarm}]"),
    ("ArchivalShift/AlarmConfiguration/Alarms", "[{Name: ArchivalReleaseAlarm}]"),
    ("FraudDetectorShift/AlarmConfiguration/Alarms", "[{Name: FraudDetectorReleaseAlarm}]"),
    (
        "Resources:ValidatorAlias/UpdatePolicy",
        "[ShiftsTraffic, {CodeDeployLambdaAliasUpdate: {ApplicationName: ReleaseApplication, DeploymentGroupName: ValidatorShift}}, AWS::NoValue]",
    ),
];

const QUEUES: &[Fact<'_>] = &[
    ("IntakeOrdered|IntakeOrderedDlq/FifoQueue", "true"),
    ("IntakeOrdered|IntakeOrderedDlq/ContentBasedDeduplication", "true"),
    ("IntakeOrdered|IntakeOrderedDlq/DeduplicationScope", "messageGroup"),
    ("IntakeOrdered|IntakeOrderedDlq/FifoThroughputLimit", "perMessageGroupId"),
    ("Intake|IntakeOrdered|Archive|Payments|Refunds|Disputes/MessageRetentionPeriod", "604800"),
    ("Intake/RedrivePolicy", "{deadLetterTargetArn: IntakeDlq.Arn, maxReceiveCount: 3}"),
    ("IntakeOrdered/RedrivePolicy", "{deadLetterTargetArn: IntakeOrderedDlq.Arn, maxReceiveCount: 3}"),
    ("Archive/RedrivePolicy", "{deadLetterTargetArn: ArchiveDlq.Arn, maxReceiveCount: 3}"),
    ("Payments/RedrivePolicy", "{deadLetterTargetArn: PaymentsDlq.Arn, maxReceiveCount: 3}"),
    ("Refunds/RedrivePolicy", "{deadLetterTargetArn: RefundsDlq.Arn, maxReceiveCount: 3}"),
    ("Disputes/RedrivePolicy", "{deadLetterTargetArn: DisputesDlq.Arn, maxReceiveCount: 3}"),
    (
        "IntakeDlq|IntakeOrderedDlq|ArchiveDlq|PaymentsDlq|RefundsDlq|DisputesDlq|EventBridgeDlq|WorkflowDlq|FunctionsDlq/MessageRetentionPeriod",
        "1209600",
    ),
    (
        "IntakeDlq|IntakeOrderedDlq|ArchiveDlq|PaymentsDlq|RefundsDlq|DisputesDlq/RedriveAllowPolicy/redrivePermission",
        "byQueue",
    ),
    ("EventBridgeDlq|WorkflowDlq|FunctionsDlq/RedriveAllowPolicy/redrivePermission", "denyAll"),
    ("Intake|IntakeOrdered/VisibilityTimeout", "IntakeVisibility"),
    ("Archive/VisibilityTimeout", "ArchiveVisibility"),
    ("Payments|Refunds|Disputes/VisibilityTimeout", "RoutedVisibility"),
    // Six times the timeouts above.
    ("Parameters:IntakeVisibility/Default", "360"),
    ("Parameters:ArchiveVisibility/Default", "1800"),
    ("Parameters:RoutedVisibility/Default", "300"),
    ("IntakeMapping|IntakeOrderedMapping|ArchiveMapping/FunctionResponseTypes", "[ReportBatchItemFailures]"),
    ("IntakeMapping/EventSourceArn", "Intake.Arn"),
    ("IntakeOrderedMapping/EventSourceArn", "IntakeOrdered.Arn"),
    ("ArchiveMapping/EventSourceArn", "Archive.Arn"),
    ("IntakeMapping/BatchSize", "IntakeBatchSize"),
    ("IntakeOrderedMapping/BatchSize", "IntakeOrderedBatchSize"),
    ("ArchiveMapping/BatchSize", "ArchiveBatchSize"),
    ("IntakeMapping/MaximumBatchingWindowInSeconds", "IntakeBatchWindow"),
    ("ArchiveMapping/MaximumBatchingWindowInSeconds", "ArchiveBatchWindow"),
    (
        "IntakeMapping|IntakeOrderedMapping/ScalingConfig",
        "[LimitsIntake, {MaximumConcurrency: IntakeConcurrency}, AWS::NoValue]",
    ),
    (
        "ArchiveMapping/ScalingConfig",
        "[LimitsArchive, {MaximumConcurrency: ArchiveConcurrency}, AWS::NoValue]",
    ),
    (
        "IntakeMapping|IntakeOrderedMapping/ProvisionedPollerConfig",
        "[HasIntakePollers, {MinimumPollers: IntakeMinimumPollers, MaximumPollers: IntakeMaximumPollers}, AWS::NoValue]",
    ),
    (
        "ArchiveMapping/ProvisionedPollerConfig",
        "[HasArchivePollers, {MinimumPollers: ArchiveMinimumPollers, MaximumPollers: ArchiveMaximumPollers}, AWS::NoValue]",
    ),
    ("Rules:IntakePollersOrConcurrency/Assertions/0/Assert", "[IntakeConcurrency, 0]"),
    ("Rules:ArchivePollersOrConcurrency/Assertions/0/Assert", "[ArchiveConcurrency, 0]"),
    (
        "OwnQueuesPolicy/Queues",
        "[Intake, IntakeDlq, IntakeOrdered, IntakeOrderedDlq, Archive, ArchiveDlq, PaymentsDlq, RefundsDlq, DisputesDlq, WorkflowDlq, FunctionsDlq]",
    ),
    ("RoutedQueuesPolicy/Queues", "[Payments, Refunds, Disputes, EventBridgeDlq]"),
    ("AlertsTapPolicy/Queues", "[AlertsTapQueue]"),
    (
        "OwnQueuesPolicy|RoutedQueuesPolicy|AlertsTapPolicy/PolicyDocument/Statement/Sid=TlsOnly/Effect",
        "Deny",
    ),
    (
        "OwnQueuesPolicy|RoutedQueuesPolicy|AlertsTapPolicy/PolicyDocument/Statement/Sid=TlsOnly/Condition",
        "{Bool: {aws:SecureTransport: false}}",
    ),
];

const TABLES: &[Fact<'_>] = &[
    ("Ledger|LedgerReplicated|Transactions|TransactionsReplicated/BillingMode", "PAY_PER_REQUEST"),
    ("Ledger|LedgerReplicated/KeySchema", "[{AttributeName: event_key, KeyType: HASH}]"),
    ("Ledger|LedgerReplicated/TimeToLiveSpecification", "{AttributeName: expires_at, Enabled: true}"),
    (
        "Transactions|TransactionsReplicated/KeySchema",
        "[{AttributeName: transaction_id, KeyType: HASH}, {AttributeName: sort_key, KeyType: RANGE}]",
    ),
    (
        "Transactions|TransactionsReplicated/GlobalSecondaryIndexes/IndexName=by-customer/KeySchema",
        "[{AttributeName: customer_key, KeyType: HASH}, {AttributeName: occurred_at, KeyType: RANGE}]",
    ),
    (
        "Ledger|Transactions/PointInTimeRecoverySpecification",
        "{PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 35}",
    ),
    ("Ledger|Transactions/DeletionProtectionEnabled", "DeletionProtection"),
    ("Ledger|Transactions/StreamSpecification", "[HasStreams, {StreamViewType: TableStreams}, AWS::NoValue]"),
    ("LedgerReplicated|TransactionsReplicated/StreamSpecification", "{StreamViewType: NEW_AND_OLD_IMAGES}"),
    ("Resources:Ledger|Transactions/Condition", "IsNotReplicated"),
    ("Resources:LedgerReplicated|TransactionsReplicated/Condition", "IsReplicated"),
    ("Resources:LedgerReplicated|TransactionsReplicated/Type", "AWS::DynamoDB::GlobalTable"),
    (
        "LedgerReplicated|TransactionsReplicated/Replicas/Region=AWS::Region/DeletionProtectionEnabled",
        "DeletionProtection",
    ),
    (
        "LedgerReplicated|TransactionsReplicated/Replicas/Region=ReplicaRegion/DeletionProtectionEnabled",
        "DeletionProtection",
    ),
    (
        "LedgerReplicated|TransactionsReplicated/Replicas/Region=AWS::Region/PointInTimeRecoverySpecification",
        "{PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 35}",
    ),
    (
        "LedgerReplicated|TransactionsReplicated/Replicas/Region=ReplicaRegion/PointInTimeRecoverySpecification",
        "{PointInTimeRecoveryEnabled: true, RecoveryPeriodInDays: 35}",
    ),
    (
        "LedgerReplicated|TransactionsReplicated/Replicas/Region=ReplicaRegion/SSESpecification",
        "[HasKey, {KMSMasterKeyId: ReplicaKeyArn}, AWS::NoValue]",
    ),
    ("Rules:ReplicaNeedsKey/Assertions/0/Assert", "[[ReplicaKeyArn, ]]"),
    ("Resources:Ledger|LedgerReplicated|Transactions|TransactionsReplicated/UpdateReplacePolicy", "Retain"),
];

const BUCKETS: &[Fact<'_>] = &[
    ("Payloads|Audit/VersioningConfiguration/Status", "Enabled"),
    (
        "Payloads|Audit/PublicAccessBlockConfiguration",
        "{BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true}",
    ),
    (
        "Payloads|Audit/BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault",
        "[HasKey, {SSEAlgorithm: aws:kms, KMSMasterKeyID: Key.Arn}, {SSEAlgorithm: AES256}]",
    ),
    (
        "Payloads/LifecycleConfiguration/Rules/Id=payloads/Transitions",
        "[{StorageClass: GLACIER, TransitionInDays: 30}]",
    ),
    (
        "Audit/LifecycleConfiguration/Rules/Id=archive/Transitions",
        "[{StorageClass: STANDARD_IA, TransitionInDays: 30}, {StorageClass: GLACIER, TransitionInDays: 90}]",
    ),
    ("Payloads/LifecycleConfiguration/Rules/Id=payloads/ExpirationInDays", "365"),
    ("Audit/LifecycleConfiguration/Rules/Id=archive/ExpirationInDays", "365"),
    ("Payloads/LifecycleConfiguration/Rules/Id=payloads/Status", "Enabled"),
    ("Audit/LifecycleConfiguration/Rules/Id=archive/Status", "Enabled"),
    ("PayloadsPolicy/Bucket", "Payloads"),
    ("AuditPolicy/Bucket", "Audit"),
    ("PayloadsPolicy|AuditPolicy/PolicyDocument/Statement/Sid=TlsOnly/Effect", "Deny"),
    (
        "PayloadsPolicy|AuditPolicy/PolicyDocument/Statement/Sid=TlsOnly/Condition",
        "{Bool: {aws:SecureTransport: false}}",
    ),
    ("PayloadsPolicy|AuditPolicy/PolicyDocument/Statement/Sid=FunctionsOnly/Effect", "Deny"),
    (
        "PayloadsPolicy|AuditPolicy/PolicyDocument/Statement/Sid=FunctionsOnly/Action",
        "[s3:GetObject*, s3:PutObject*]",
    ),
    (
        "PayloadsPolicy/PolicyDocument/Statement/Sid=FunctionsOnly/Condition",
        "{StringNotEquals: {aws:PrincipalArn: [ValidatorRole.Arn, ProcessorRole.Arn, ArchivalRole.Arn]}, \
         StringNotLike: {aws:PrincipalArn: BucketReaders}}",
    ),
    (
        "AuditPolicy/PolicyDocument/Statement/Sid=FunctionsOnly/Condition",
        "{StringNotEquals: {aws:PrincipalArn: [ArchivalRole.Arn]}, StringNotLike: {aws:PrincipalArn: BucketReaders}}",
    ),
    ("Payloads|Audit/ObjectLockEnabled", "[LocksObjects, true, AWS::NoValue]"),
    (
        "Payloads|Audit/ObjectLockConfiguration",
        "[LocksObjects, {ObjectLockEnabled: Enabled, Rule: {DefaultRetention: {Mode: ObjectLockMode, Days: ObjectLockDays}}}, AWS::NoValue]",
    ),
];

const BUS: &[Fact<'_>] = &[
    ("Bus/Name", "payment-events-${EnvironmentSuffix}"),
    ("PaymentsRule/EventPattern", "{source: [tollgate], detail: {category: [payment]}}"),
    ("RefundsRule/EventPattern", "{source: [tollgate], detail: {category: [refund]}}"),
    ("DisputesRule/EventPattern", "{source: [tollgate], detail: {category: [dispute]}}"),
    ("PaymentsRule/Targets/Id=queue/Arn", "Payments.Arn"),
    ("RefundsRule/Targets/Id=queue/Arn", "Refunds.Arn"),
    ("DisputesRule/Targets/Id=queue/Arn", "Disputes.Arn"),
    ("HighValueRule/EventPattern/detail", "{risk_tier: [high]}"),
    ("HighValueRule/Targets/Id=workflow/Arn", "Workflow"),
    ("MediumValueRule/EventPattern/detail", "{risk_tier: [medium]}"),
    ("MediumValueRule/Targets/Id=alerts/Arn", "Alerts"),
    ("LowValueRule/EventPattern/detail", "{risk_tier: [low]}"),
    (
        "HighValueRule|MediumValueRule|LowValueRule/EventPattern/detail-type",
        "[{anything-but: [payment.flagged]}]",
    ),
    ("FlaggedRule/EventPattern", "{source: [tollgate], detail-type: [payment.flagged]}"),
    ("FlaggedRule/Targets/Id=alerts/Arn", "Alerts"),
    ("StripeLogRule/EventPattern/detail/provider", "[stripe]"),
    ("AdyenLogRule/EventPattern/detail/provider", "[adyen]"),
    ("PaypalLogRule/EventPattern/detail/provider", "[paypal]"),
    ("OtherLogRule/EventPattern/detail/provider", "[{anything-but: [stripe, adyen, paypal]}]"),
    ("StripeLog|AdyenLog|PaypalLog|OtherLog/RetentionInDays", "LogRetention"),
    // The thresholds are the processor's, which writes the tier into the event.
    ("Processor/Environment/Variables/RISK_THRESHOLDS", "RiskThresholds"),
    (
        "Parameters:RiskThresholds/Default",
        r#"{"default":{"medium":"1000","high":"10000"},"JPY":{"medium":"100000","high":"1000000"},"KWD":{"medium":"300","high":"3000"}}"#,
    ),
    ("EventArchive/SourceArn", "Bus.Arn"),
    ("EventArchive/RetentionDays", "EventArchiveDays"),
    ("Parameters:EventArchiveDays/Default", "30"),
];

const WORKFLOW: &[Fact<'_>] = &[
    ("Workflow/StateMachineType", "EXPRESS"),
    ("Workflow/TracingConfiguration/Enabled", "true"),
    ("Workflow/LoggingConfiguration/Level", "ALL"),
    (
        "Workflow/LoggingConfiguration/Destinations",
        "[{CloudWatchLogsLogGroup: {LogGroupArn: WorkflowLog.Arn}}]",
    ),
    ("Workflow/DefinitionSubstitutions/FraudDetector", "FraudDetectorAlias"),
    ("Workflow/DefinitionSubstitutions/Alerts", "Alerts"),
    ("Workflow/DefinitionSubstitutions/DeadLetters", "WorkflowDlq"),
];

/// In the workflow's definition, which is JSON in a text.
const DEFINITION: &[Fact<'_>] = &[
    ("StartAt", "Examine"),
    ("States/Examine/Type", "Parallel"),
    (
        "States/Examine/Branches/StartAt=DetectFraud/States/DetectFraud/Resource",
        "arn:aws:states:::lambda:invoke",
    ),
    ("States/Examine/Branches/StartAt=Notify/States/Notify/Resource", "arn:aws:states:::sns:publish"),
    (
        "States/Examine/Branches/StartAt=DetectFraud/States/DetectFraud/Retry",
        "[{ErrorEquals: [MalformedEvent, FlaggedEvent, DependencyRefused], MaxAttempts: 0}, \
         {ErrorEquals: [States.ALL], IntervalSeconds: 1, BackoffRate: 2, MaxAttempts: 3}]",
    ),
    (
        "States/Examine/Branches/StartAt=Notify/States/Notify/Retry",
        "[{ErrorEquals: [States.ALL], IntervalSeconds: 1, BackoffRate: 2, MaxAttempts: 3}]",
    ),
    ("States/Examine/Catch", "[{ErrorEquals: [States.ALL], ResultPath: $.workflow_error, Next: DeadLetter}]"),
    ("States/DeadLetter/Resource", "arn:aws:states:::sqs:sendMessage"),
    ("States/DeadLetter/Parameters/QueueUrl", "${DeadLetters}"),
];

const TOPIC: &[Fact<'_>] = &[
    ("Alerts/KmsMasterKeyId", "[HasKey, Key, AWS::NoValue]"),
    ("EmailSubscription", "{TopicArn: Alerts, Protocol: email, Endpoint: AlertEmail}"),
    ("SmsSubscription", "{TopicArn: Alerts, Protocol: sms, Endpoint: AlertPhone}"),
    ("AlertsPolicy/Topics", "[Alerts]"),
    ("AlertsPolicy/PolicyDocument/Statement/Sid=FromTheBus/Principal", "{Service: events.amazonaws.com}"),
    ("Resources:EmailSubscription/Condition", "HasEmail"),
    ("Resources:SmsSubscription/Condition", "HasPhone"),
    ("AlertsPolicy/PolicyDocument/Statement/Sid=TlsOnly/Effect", "Deny"),
];

const KEY: &[Fact<'_>] = &[
    ("KeyAlias/AliasName", "alias/tollgate-${EnvironmentSuffix}"),
    ("Key/KeyPolicy/Statement/Sid=EventsToQueuesAndTopic/Principal", "{Service: events.amazonaws.com}"),
    ("Key/KeyPolicy/Statement/Sid=TopicToQueues/Principal", "{Service: sns.amazonaws.com}"),
    ("Key/KeyPolicy/Statement/Sid=Logs/Principal", "{Service: logs.${AWS::Region}.amazonaws.com}"),
    // The secrets', for whoever makes them.
    ("KeyName/Name", "/tollgate/${EnvironmentSuffix}/key"),
    ("KeyName/Value", "Key.Arn"),
    ("Key/EnableKeyRotation", "true"),
    ("Key/PendingWindowInDays", "7"),
    ("KeyAlias/TargetKeyId", "Key"),
    ("Resources:Key|KeyAlias|KeyName/Condition", "HasKey"),
    ("Conditions:HasKey", "[CustomerManagedKey, true]"),
    (
        "Ledger|Transactions/SSESpecification",
        "[HasKey, {SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: Key.Arn}, {SSEEnabled: true}]",
    ),
    (
        "LedgerReplicated|TransactionsReplicated/SSESpecification",
        "[HasKey, {SSEEnabled: true, SSEType: KMS}, {SSEEnabled: true}]",
    ),
    (
        "LedgerReplicated|TransactionsReplicated/Replicas/Region=AWS::Region/SSESpecification",
        "[HasKey, {KMSMasterKeyId: Key.Arn}, AWS::NoValue]",
    ),
];

const SECRETS: &[Fact<'_>] = &[
    ("Validator/Environment/Variables/ENDPOINTS_PATH", "/tollgate/${EnvironmentSuffix}/endpoints"),
    (
        "ValidatorRole/Policies/0/PolicyDocument/Statement/Action=[secretsmanager:GetSecretValue]/Resource",
        "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:tollgate/${EnvironmentSuffix}/*",
    ),
    (
        "ValidatorRole/Policies/0/PolicyDocument/Statement/Action=ssm:GetParameter/Resource",
        "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/tollgate/${EnvironmentSuffix}/secrets/*",
    ),
];

const OUTPUTS: &[Fact<'_>] = &[
    (
        "Outputs:ApiUrl/Value",
        "[UsesRest, https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}, [UsesHttpApi, \
         https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${HttpStage}, \
         [https://${Host}, {Host: [2, [/, FunctionUrl.FunctionUrl]]}]]]",
    ),
    ("Outputs:ValidatorFunction/Value", "Validator"),
    ("Outputs:ProcessorFunction/Value", "Processor"),
    ("Outputs:ArchivalFunction/Value", "Archival"),
    ("Outputs:FraudDetectorFunction/Value", "FraudDetector"),
    ("Outputs:ValidatorFunctionArn/Value", "Validator.Arn"),
    ("Outputs:ProcessorFunctionArn/Value", "Processor.Arn"),
    ("Outputs:ArchivalFunctionArn/Value", "Archival.Arn"),
    ("Outputs:FraudDetectorFunctionArn/Value", "FraudDetector.Arn"),
    ("Outputs:LedgerTable/Value", "[IsReplicated, LedgerReplicated, Ledger]"),
    ("Outputs:TransactionsTable/Value", "[IsReplicated, TransactionsReplicated, Transactions]"),
    ("Outputs:PayloadBucket/Value", "Payloads"),
    ("Outputs:AuditBucket/Value", "Audit"),
    ("Outputs:BusArn/Value", "Bus.Arn"),
    (
        "Outputs:DashboardUrl/Value",
        "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}#dashboards:name=transaction-metrics-${EnvironmentSuffix}",
    ),
];

/// What the local peer refuses, and the condition that leaves it out there.
const LEFT_OUT: &[Fact<'_>] = &[
    ("Resources:EventArchive/Condition", "KeepsEvents"),
    ("Conditions:KeepsEvents", "[[EventArchiveDays, 0]]"),
    (
        "Resources:ReleaseApplication|ValidatorShift|ProcessorShift|ArchivalShift|FraudDetectorShift/Condition",
        "ShiftsTraffic",
    ),
    ("Conditions:ShiftsTraffic", "[[TrafficShift, AllAtOnce]]"),
    ("Parameters:TrafficShift/Default", "AllAtOnce"),
    ("Conditions:LimitsIntake", "[[IntakeConcurrency, 0]]"),
    ("Conditions:LimitsArchive", "[[ArchiveConcurrency, 0]]"),
];

#[test]
fn api_gateway() {
    check(API);
}

#[test]
fn functions() {
    check(FUNCTIONS);
    // A release's traffic goes back when its own errors raise the alarm.
    let each = ["Validator", "Processor", "Archival", "FraudDetector"];
    check_all(each.iter().flat_map(|function| {
        let dimensions = format!(
            "[{{Name: FunctionName, Value: {function}}}, {{Name: Resource, Value: ${{{function}}}:live}}]"
        );
        [
            (format!("{function}ReleaseAlarm/Namespace"), "AWS/Lambda".to_owned()),
            (format!("{function}ReleaseAlarm/MetricName"), "Errors".to_owned()),
            (format!("{function}ReleaseAlarm/Dimensions"), dimensions),
            (format!("{function}ReleaseAlarm/Threshold"), "1".to_owned()),
            (format!("{function}ReleaseAlarm/AlarmActions"), "[Alerts]".to_owned()),
            (
                format!("{function}Shift/DeploymentConfigName"),
                "CodeDeployDefault.Lambda${TrafficShift}".to_owned(),
            ),
            (format!("{function}Shift/ServiceRoleArn"), "ReleaseRole.Arn".to_owned()),
        ]
    }));
    let logs = resources_of("AWS::Logs::LogGroup");
    check_all(logs.iter().map(|name| {
        let days = if name == "AccessLog" { "AccessLogRetention" } else { "LogRetention" };
        (format!("{name}/RetentionInDays"), days.to_owned())
    }));
    let parameters = parameters("dev");
    assert_eq!((&*parameters["ReservedConcurrency"], &*parameters["AccessLogRetention"]), ("10", "7"));
}

#[test]
fn every_wide_resource_has_its_reason() {
    let text = template_text();
    let wide: Vec<&str> = text.lines().filter(|line| line.contains(r#"Resource: "*""#)).collect();
    assert!(!wide.is_empty());
    for line in wide {
        let reason = line.split_once('#').map_or("", |(_, reason)| reason.trim());
        assert!(reason.len() > 10, "{line}");
    }
}

#[test]
fn queues() {
    check(QUEUES);
    let template = template();
    let own = list(&template, "OwnQueuesPolicy/Queues");
    let routed = list(&template, "RoutedQueuesPolicy/Queues");
    for queue in resources_of("AWS::SQS::Queue") {
        assert!(
            own.contains(&queue) || routed.contains(&queue) || queue == "AlertsTapQueue",
            "{queue} without TLS"
        );
    }
    let facts = resources_of("AWS::SQS::Queue").into_iter().flat_map(|queue| {
        [
            (format!("{queue}/KmsMasterKeyId"), "[HasKey, Key.Arn, AWS::NoValue]".to_owned()),
            (format!("{queue}/SqsManagedSseEnabled"), "[HasKey, AWS::NoValue, true]".to_owned()),
        ]
    });
    check_all(facts);
    // A visibility timeout of at least six times the function's, in every set of parameters.
    for set in ["dev", "prod", "local"] {
        let set = with_defaults(set);
        let number = |name: &str| set[name].parse::<u64>().unwrap();
        assert!(number("IntakeVisibility") >= 6 * number("ProcessorTimeout"));
        assert!(number("ArchiveVisibility") >= 6 * number("ArchivalTimeout"));
    }
}

#[test]
fn tables() {
    check(TABLES);
}

#[test]
fn buckets() {
    check(BUCKETS);
}

#[test]
fn bus() {
    check(BUS);
    // A dead-letter queue and retries on every target there is.
    let template = template();
    let mut facts = Vec::new();
    for (rule, log) in
        [("Stripe", "StripeLog"), ("Adyen", "AdyenLog"), ("Paypal", "PaypalLog"), ("Other", "OtherLog")]
    {
        let group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:";
        facts.push((format!("{rule}LogRule/Targets/Id=log/Arn"), format!("{group}${{{log}}}")));
    }
    for rule in resources_of("AWS::Events::Rule") {
        facts.push((format!("{rule}/EventBusName"), "Bus".to_owned()));
        let targets = at(&template, &format!("{rule}/Targets")).and_then(Yaml::as_vec).map_or(0, Vec::len);
        assert_eq!(targets == 0, rule == "LowValueRule", "{rule}: only what is below is metrics only");
        for target in 0..targets {
            facts.push((
                format!("{rule}/Targets/{target}/DeadLetterConfig"),
                "{Arn: EventBridgeDlq.Arn}".to_owned(),
            ));
            let retries = "{MaximumEventAgeInSeconds: 86400, MaximumRetryAttempts: 185}";
            facts.push((format!("{rule}/Targets/{target}/RetryPolicy"), retries.to_owned()));
        }
    }
    check_all(facts);
}

#[test]
fn workflow() {
    check(WORKFLOW);
    let template = template();
    let text = at(&template, "Workflow/DefinitionString").and_then(Yaml::as_str).unwrap();
    let definition = YamlLoader::load_from_str(text).unwrap().remove(0);
    check_in(&definition, &owned(DEFINITION));
    // What it does not try again is what the fraud detector calls hopeless, by the names that it gives to Lambda.
    let hopeless = [FraudError::Malformed, FraudError::Flagged, PortError::permanent("any", "any").into()];
    let hopeful = [FraudError::NotRecorded, PortError::retryable("any", "any").into()];
    let path =
        "States/Examine/Branches/StartAt=DetectFraud/States/DetectFraud/Retry/MaxAttempts=0/ErrorEquals";
    let given_up: Vec<String> =
        at(&definition, path).and_then(Yaml::as_vec).unwrap().iter().map(written).collect();
    assert_eq!(given_up, hopeless.each_ref().map(FraudError::name));
    assert!(hopeful.iter().all(|problem| !given_up.contains(&problem.name().to_owned())));
}

#[test]
fn topic() {
    check(TOPIC);
}

#[test]
fn key() {
    check(KEY);
    // Logs: each group. Queues, topic and buckets have their own rows.
    let logs = resources_of("AWS::Logs::LogGroup");
    check_all(
        logs.iter().map(|name| (format!("{name}/KmsKeyId"), "[HasKey, Key.Arn, AWS::NoValue]".to_owned())),
    );
}

#[test]
fn secrets() {
    check(SECRETS);
    // Names only: the template makes no secret, and holds none.
    assert!(resources_of("AWS::SecretsManager::Secret").is_empty());
    assert_eq!(resources_of("AWS::SSM::Parameter"), ["KeyName"]);
}

#[test]
fn outputs() {
    check(OUTPUTS);
    let queues = resources_of("AWS::SQS::Queue").into_iter();
    check_all(queues.map(|queue| {
        let queue_url = if queue.ends_with("Dlq") { "Url" } else { "QueueUrl" };
        (format!("Outputs:{}{queue_url}/Value", queue.trim_end_matches("Queue")), queue)
    }));
}

#[test]
fn what_the_local_peer_refuses_is_left_out_by_a_condition() {
    check(LEFT_OUT);
    let set = with_defaults("local");
    assert_eq!((&*set["EventArchiveDays"], &*set["TrafficShift"]), ("0", "AllAtOnce"));
    assert_eq!((&*set["IntakeConcurrency"], &*set["ArchiveConcurrency"]), ("0", "0"));
    let refused =
        ["AWS::Events::Archive", "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"];
    let template = template();
    for name in refused.into_iter().flat_map(resources_of) {
        let condition = at(&template, &format!("Resources:{name}/Condition")).map(written);
        assert!(
            ["KeepsEvents", "ShiftsTraffic"].contains(&condition.as_deref().unwrap_or_default()),
            "{name}"
        );
    }
}

#[test]
fn every_parameter_is_typed_bounded_and_described() {
    let template = template();
    for (name, parameter) in template["Parameters"].as_hash().unwrap() {
        let name = name.as_str().unwrap();
        let has = |key: &str| !parameter[key].is_badvalue();
        assert!(
            has("Type") && parameter["Description"].as_str().is_some_and(|text| text.len() > 1),
            "{name}"
        );
        let is_bounded = match parameter["Type"].as_str().unwrap() {
            "Number" => has("AllowedValues") || has("MinValue") && has("MaxValue"),
            "CommaDelimitedList" => has("Default"),
            _ => has("AllowedValues") || has("AllowedPattern") || has("MaxLength"),
        };
        assert!(is_bounded, "{name}");
    }
    // And each belongs to a group of the console's form.
    let groups = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let mut grouped: Vec<String> = groups
        .as_vec()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_vec().unwrap())
        .map(written)
        .collect();
    let mut all: Vec<String> = template["Parameters"].as_hash().unwrap().keys().map(written).collect();
    grouped.sort();
    all.sort();
    assert_eq!(grouped, all);
}

#[test]
fn every_name_ends_with_the_suffix() {
    let template = template();
    let names = [
        "AlarmName",
        "AliasName",
        "ApplicationName",
        "ArchiveName",
        "BucketName",
        "DeploymentGroupName",
        "FunctionName",
        "LogGroupName",
        "Name",
        "PolicyName",
        "QueueName",
        "StateMachineName",
        "TableName",
        "TopicName",
        "UsagePlanName",
    ];
    // Names within something that has the suffix.
    let inner = [
        "WebhookModel",
        "KeyName",
        "ValidatorAlias",
        "ProcessorAlias",
        "ArchivalAlias",
        "FraudDetectorAlias",
    ];
    let mut count = 0;
    for (logical, resource) in template["Resources"].as_hash().unwrap() {
        let logical = logical.as_str().unwrap();
        for name in names {
            let Some(value) = resource["Properties"][name].as_str() else { continue };
            let is_reference = template["Resources"]
                .as_hash()
                .unwrap()
                .contains_key(&Yaml::String(value.split('.').next().unwrap_or_default().to_owned()));
            if is_reference || inner.contains(&logical) {
                continue;
            }
            count += 1;
            let stem = value.trim_end_matches(".fifo");
            assert!(stem.ends_with("-${EnvironmentSuffix}"), "{logical}: {name}: {value}");
        }
    }
    assert!(count > 50, "{count} names");
}

#[test]
fn every_set_of_parameters_has_the_tags_and_known_parameters() {
    let templates = [template(), monitoring()];
    for set in ["dev", "prod", "local"] {
        let tags = set_of(set, "Tags");
        // `scripts/deploy` adds Environment.
        assert!(
            ["Service", "Repository", "Owner", "CostCenter"].iter().all(|tag| tags.contains_key(*tag)),
            "{set}"
        );
        for (name, value) in parameters(set) {
            let parameter = templates.iter().map(|template| &template["Parameters"][name.as_str()]);
            let parameter = parameter.into_iter().find(|parameter| !parameter.is_badvalue());
            let parameter = parameter.unwrap_or_else(|| panic!("{set}: {name}"));
            if let Some(allowed) = parameter["AllowedValues"].as_vec() {
                assert!(allowed.iter().any(|one| written(one) == value), "{set}: {name}: {value}");
            }
            let bound = |key: &str| parameter[key].as_i64();
            if let Ok(number) = value.parse::<i64>() {
                assert!(bound("MinValue").is_none_or(|least| least <= number), "{set}: {name}");
                assert!(bound("MaxValue").is_none_or(|most| number <= most), "{set}: {name}");
            }
        }
    }
    assert!(fs::read_to_string(root().join("scripts/stacks.py")).unwrap().contains("{\"Environment\": self"));
    assert_eq!(parameters("prod")["DeletionProtection"], "true");
}

/// Holds on the template, and on no template from which one of the row's properties is gone or in which it is another.
fn check(row: &[Fact<'_>]) {
    check_all(owned(row));
}

fn check_all(row: impl IntoIterator<Item = (String, String)>) {
    check_in(&template(), &row.into_iter().collect::<Vec<_>>());
}

fn check_in(document: &Yaml, row: &[(String, String)]) {
    assert!(!row.is_empty());
    assert_eq!(wrong(document, row), Vec::<String>::new());
    for (path, _) in row {
        for change in [None, Some(Yaml::String("changed".to_owned()))] {
            let mut mutant = document.clone();
            assert!(replace(&mut mutant, path, change), "{path} cannot be changed");
            let found = wrong(&mutant, row);
            assert!(
                found.iter().any(|problem| problem.starts_with(path)),
                "{path} is gone and nobody noticed"
            );
        }
    }
}

/// The facts that do not hold.
fn wrong(document: &Yaml, row: &[(String, String)]) -> Vec<String> {
    let found = |path: &str| at(document, path).map_or_else(|| "nothing".to_owned(), written);
    let differs = |(path, expected): &&(String, String)| found(path) != *expected;
    row.iter()
        .filter(differs)
        .map(|(path, expected)| format!("{path}: {} is not {expected}", found(path)))
        .collect()
}

/// One fact for each of the names that a path begins with.
fn owned(row: &[Fact<'_>]) -> Vec<(String, String)> {
    let each = |(path, expected): &Fact<'_>| {
        let (section, rest) =
            path.split_once(':').filter(|(section, _)| !section.contains('/')).unwrap_or(("", path));
        let (names, rest) = rest.split_once('/').map_or((rest, None), |(names, rest)| (names, Some(rest)));
        let section = if section.is_empty() { String::new() } else { format!("{section}:") };
        let full = |name: &str| {
            iter::once(format!("{section}{name}")).chain(rest.map(str::to_owned)).collect::<Vec<_>>()
        };
        names.split('|').map(|name| (full(name).join("/"), (*expected).to_owned())).collect::<Vec<_>>()
    };
    row.iter().flat_map(each).collect()
}

/// The keys from the document's root to a path's end.
fn keys(document: &Yaml, path: &str) -> Vec<String> {
    let unescaped = |key: &str| key.replace('%', "/");
    if document["Resources"].is_badvalue() {
        return path.split('/').map(unescaped).collect();
    }
    match path.split_once(':').filter(|(section, _)| !section.contains('/')) {
        Some((section, rest)) => {
            iter::once(section.to_owned()).chain(rest.split('/').map(unescaped)).collect()
        }
        None => {
            let mut keys = path.split('/').map(unescaped);
            let name = keys.next().unwrap_or_default();
            ["Resources".to_owned(), name, "Properties".to_owned()].into_iter().chain(keys).collect()
        }
    }
}

fn at<'a>(document: &'a Yaml, path: &str) -> Option<&'a Yaml> {
    keys(document, path).iter().try_fold(document, |node, key| match node {
        Yaml::Hash(map) => map.get(&Yaml::String(key.clone())),
        Yaml::Array(items) => items.get(place(items, key)?),
        _ => None,
    })
}

/// Takes away what is at `path`, or puts something else there. Whether it was there.
fn replace(document: &mut Yaml, path: &str, by: Option<Yaml>) -> bool {
    let keys = keys(document, path);
    let Some((last, parents)) = keys.split_last() else { return false };
    let parent = parents.iter().try_fold(document, |node, key| match node {
        Yaml::Hash(map) => map.get_mut(&Yaml::String(key.clone())),
        Yaml::Array(items) => {
            let place = place(items, key)?;
            items.get_mut(place)
        }
        _ => None,
    });
    match (parent, by) {
        (Some(Yaml::Hash(map)), None) => map.remove(&Yaml::String(last.clone())).is_some(),
        (Some(Yaml::Hash(map)), Some(by)) => map.insert(Yaml::String(last.clone()), by).is_some(),
        _ => false,
    }
}

/// By number, or by a key and its value.
fn place(items: &[Yaml], key: &str) -> Option<usize> {
    match key.split_once('=') {
        Some((name, value)) => items.iter().position(|item| written(&item[name]) == value),
        None => key.parse().ok(),
    }
}

/// In one line; short forms of intrinsic functions are their arguments.
fn written(node: &Yaml) -> String {
    let all = |items: Vec<String>| items.join(", ");
    match node {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(is) => is.to_string(),
        Yaml::Array(items) => format!("[{}]", all(items.iter().map(written).collect())),
        Yaml::Hash(map) => {
            let pair = |(key, value): (&Yaml, &Yaml)| format!("{}: {}", written(key), written(value));
            format!("{{{}}}", all(Hash::iter(map).map(pair).collect()))
        }
        other => format!("{other:?}"),
    }
}

fn list(document: &Yaml, path: &str) -> Vec<String> {
    at(document, path).and_then(Yaml::as_vec).unwrap().iter().map(written).collect()
}

fn template_text() -> String {
    fs::read_to_string(root().join("infra/tollgate.yaml")).unwrap()
}

fn template() -> Yaml {
    YamlLoader::load_from_str(&template_text()).unwrap().remove(0)
}

fn monitoring() -> Yaml {
    let text = fs::read_to_string(root().join("infra/monitoring.yaml")).unwrap();
    YamlLoader::load_from_str(&text).unwrap().remove(0)
}

fn resources_of(kind: &str) -> Vec<String> {
    let template = template();
    let all = template["Resources"].as_hash().unwrap();
    all.iter().filter(|(_, one)| one["Type"].as_str() == Some(kind)).map(|(name, _)| written(name)).collect()
}

fn set_of(set: &str, part: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(format!("infra/params/{set}.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pairs = json[part].as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn parameters(set: &str) -> BTreeMap<String, String> {
    set_of(set, "Parameters")
}

fn with_defaults(set: &str) -> BTreeMap<String, String> {
    let template = template();
    let all = template["Parameters"].as_hash().unwrap().iter();
    let defaults = all.filter(|(_, one)| !one["Default"].is_badvalue());
    let mut values: BTreeMap<String, String> =
        defaults.map(|(name, one)| (written(name), written(&one["Default"]))).collect();
    values.extend(parameters(set));
    values
}
