# A stack like the one that pb-deploy deploys, as a team would write it for Terraform: the same resources, some with other
# settings, and with names that Terraform users choose. Used by the tests and the benchmark only.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "5.100.0" }
  }
  backend "s3" {
    key                         = "terraform.tfstate"
    region                      = "us-east-2"
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
  }
}

variable "endpoint" { type = string }
variable "hostname" { type = string }
variable "execution_role" { type = string }
variable "workers" { default = 1 }
# Retention of logs in days; 0 keeps them forever.
variable "log_days" { default = 0 }

# Creates the queue as a single cache cluster, as older stacks have it, instead of a replication group.
variable "lone_node" { default = false }

# Serves HTTPS with a certificate of its own, and redirects HTTP.
variable "https" { default = false }

locals {
  env   = terraform.workspace
  tags  = { Environment = terraform.workspace }
  queue = var.lone_node ? aws_elasticache_cluster.queue[0].cache_nodes[0].address : aws_elasticache_replication_group.queue[0].primary_endpoint_address
  environment = [
    for name in ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"] : { name = name, value = "redis://${local.queue}:6400/0" }
  ]
}

provider "aws" {
  region                      = "us-east-2"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  endpoints {
    ec2         = var.endpoint
    ecs         = var.endpoint
    ecr         = var.endpoint
    elasticache = var.endpoint
    elbv2       = var.endpoint
    route53     = var.endpoint
    logs        = var.endpoint
    iam         = var.endpoint
    sts         = var.endpoint
    acm         = var.endpoint
  }
}

data "aws_iam_role" "execution" { name = var.execution_role }
data "aws_route53_zone" "zone" { name = var.hostname }

resource "aws_vpc" "main" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = "${local.env}-vpc" })
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = local.tags
}

resource "aws_subnet" "public" {
  for_each                = { a = "10.0.1.0/24", b = "10.0.2.0/24" }
  vpc_id                  = aws_vpc.main.id
  cidr_block              = each.value
  availability_zone       = "us-east-2${each.key}"
  map_public_ip_on_launch = true
  tags                    = local.tags
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = local.tags
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

# Names that differ from pb-deploy's: adopt must find the groups through the resources that use them.
resource "aws_security_group" "balancer" {
  vpc_id = aws_vpc.main.id
  name   = "${local.env}-public-http"
}

resource "aws_security_group" "web" {
  vpc_id = aws_vpc.main.id
  name   = "${local.env}-web"
}

resource "aws_security_group" "workers" {
  vpc_id = aws_vpc.main.id
  name   = "${local.env}-workers"
}

resource "aws_security_group" "queue" {
  vpc_id = aws_vpc.main.id
  name   = "${local.env}-queue"
}

resource "aws_vpc_security_group_egress_rule" "everywhere" {
  for_each          = { web = aws_security_group.web.id, workers = aws_security_group.workers.id }
  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "queue" {
  for_each                     = { web = aws_security_group.web.id, workers = aws_security_group.workers.id }
  security_group_id            = aws_security_group.queue.id
  referenced_security_group_id = each.value
  from_port                    = 6400
  to_port                      = 6400
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 80
  to_port           = 80
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  security_group_id            = aws_security_group.balancer.id
  referenced_security_group_id = aws_security_group.web.id
  from_port                    = 5050
  to_port                      = 5050
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id            = aws_security_group.web.id
  referenced_security_group_id = aws_security_group.balancer.id
  from_port                    = 5050
  to_port                      = 5050
  ip_protocol                  = "tcp"
}

resource "aws_elasticache_subnet_group" "queue" {
  name       = "${local.env}-queue-subnets"
  subnet_ids = [aws_subnet.public["a"].id]
}

resource "aws_elasticache_replication_group" "queue" {
  count                = var.lone_node ? 0 : 1
  replication_group_id = "${local.env}-queue"
  description          = "Celery queue"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = "cache.t3.small"
  num_cache_clusters   = 1
  port                 = 6400
  subnet_group_name    = aws_elasticache_subnet_group.queue.name
  security_group_ids   = [aws_security_group.queue.id]
  apply_immediately    = true
}

resource "aws_elasticache_cluster" "queue" {
  count              = var.lone_node ? 1 : 0
  cluster_id         = "${local.env}-node"
  engine             = "redis"
  engine_version     = "7.1"
  node_type          = "cache.t3.small"
  num_cache_nodes    = 1
  port               = 6400
  subnet_group_name  = aws_elasticache_subnet_group.queue.name
  security_group_ids = [aws_security_group.queue.id]
  apply_immediately  = true
}

resource "aws_cloudwatch_log_group" "app" {
  name              = "${local.env}-app"
  retention_in_days = var.log_days
}

resource "aws_ecr_repository" "app" {
  name         = "${local.env}-app"
  force_delete = true
}

resource "aws_ecs_cluster" "app" {
  name = "${local.env}-app"
}

resource "aws_ecs_task_definition" "app" {
  for_each                 = { flask = [5050], celery = [] }
  family                   = "${local.env}-${each.key}-task"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 1024
  memory                   = 4096
  execution_role_arn       = data.aws_iam_role.execution.arn
  container_definitions = jsonencode([{
    name         = each.key
    image        = "${aws_ecr_repository.app.repository_url}:${each.key}"
    essential    = true
    environment  = local.environment
    portMappings = [for port in each.value : { containerPort = port, hostPort = port, protocol = "tcp" }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.app.name
        awslogs-region        = "us-east-2"
        awslogs-stream-prefix = each.key
      }
    }
  }])
}

resource "aws_ecs_service" "workers" {
  name            = "${local.env}-workers"
  cluster         = aws_ecs_cluster.app.id
  task_definition = aws_ecs_task_definition.app["celery"].arn
  desired_count   = var.workers
  launch_type     = "FARGATE"
  network_configuration {
    security_groups  = [aws_security_group.workers.id]
    subnets          = [aws_subnet.public["a"].id]
    assign_public_ip = true
  }
}

resource "aws_ecs_service" "web" {
  name            = "${local.env}-web"
  cluster         = aws_ecs_cluster.app.id
  task_definition = aws_ecs_task_definition.app["flask"].arn
  desired_count   = 1
  launch_type     = "FARGATE"
  network_configuration {
    security_groups  = [aws_security_group.web.id]
    subnets          = [aws_subnet.public["a"].id]
    assign_public_ip = true
  }
  load_balancer {
    target_group_arn = aws_lb_target_group.web.arn
    container_name   = "flask"
    container_port   = 5050
  }
  depends_on = [aws_lb_listener.http, aws_lb_listener.https]
}

resource "aws_lb" "public" {
  name               = "${local.env}-front"
  load_balancer_type = "application"
  security_groups    = [aws_security_group.balancer.id]
  subnets            = [for subnet in aws_subnet.public : subnet.id]
}

resource "aws_lb_target_group" "web" {
  name        = "${local.env}-web"
  port        = 5050
  protocol    = "HTTP"
  vpc_id      = aws_vpc.main.id
  target_type = "ip"
  health_check {
    path    = "/hello"
    matcher = "200"
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.public.arn
  port              = 80
  protocol          = "HTTP"
  default_action {
    type             = var.https ? "redirect" : "forward"
    target_group_arn = var.https ? null : aws_lb_target_group.web.arn
    dynamic "redirect" {
      for_each = var.https ? [443] : []
      content {
        protocol    = "HTTPS"
        port        = redirect.value
        status_code = "HTTP_301"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count             = var.https ? 1 : 0
  load_balancer_arn = aws_lb.public.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate_validation.public[0].certificate_arn
  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.web.arn
  }
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  count             = var.https ? 1 : 0
  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_acm_certificate" "public" {
  count             = var.https ? 1 : 0
  domain_name       = "${local.env}.${var.hostname}"
  validation_method = "DNS"
}

resource "aws_route53_record" "proof" {
  for_each        = { for option in flatten(aws_acm_certificate.public[*].domain_validation_options) : option.domain_name => option }
  zone_id         = data.aws_route53_zone.zone.zone_id
  name            = each.value.resource_record_name
  type            = each.value.resource_record_type
  records         = [each.value.resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "public" {
  count                   = var.https ? 1 : 0
  certificate_arn         = aws_acm_certificate.public[0].arn
  validation_record_fqdns = [for record in aws_route53_record.proof : record.fqdn]
}

resource "aws_route53_record" "public" {
  zone_id = data.aws_route53_zone.zone.zone_id
  name    = "${local.env}.${var.hostname}"
  type    = "A"
  alias {
    name                   = aws_lb.public.dns_name
    zone_id                = aws_lb.public.zone_id
    evaluate_target_health = true
  }
}
